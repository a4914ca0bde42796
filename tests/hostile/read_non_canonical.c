/* SPDX-License-Identifier: Apache-2.0 */
/* A load from an address that no page table can map. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(0x8000000000000000ull);
}
