/* SPDX-License-Identifier: Apache-2.0 */
/* A string of writes to a control port. */
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    static const uint32_t values[] = {0, 1, 2, 3};
    const uint32_t *next = values;
    uint64_t count = 4;
    __asm__ volatile("rep outsl" : "+S"(next), "+c"(count) : "d"(PORT_WAKE) : "memory");
}
