/* SPDX-License-Identifier: Apache-2.0 */
/* A store to the late devices' doorbell that is no kick. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    (void)runtime;
    raw_store(LAYOUT_LATE_DOORBELL_GPA, 0, 7);
}
