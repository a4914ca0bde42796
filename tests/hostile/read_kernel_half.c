/* SPDX-License-Identifier: Apache-2.0 */
/* A load from the half of the address space where kernels live. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    (void)*attack_pointer(0xffffffff80000000ull);
}
