/* SPDX-License-Identifier: Apache-2.0 */
/* A load from between low memory and the registers. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(LAYOUT_LOW_LEN + LAYOUT_PAGE_LEN);
}
