/* SPDX-License-Identifier: Apache-2.0 */
/* Another length for a device whose length stays. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_open(&offload, runtime);
    attack_judge(offload_set_len(&offload, 0));
}
