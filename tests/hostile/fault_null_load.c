/* SPDX-License-Identifier: Apache-2.0 */
/* A load from a field of a null pointer. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(0x18);
}
