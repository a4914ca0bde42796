/* SPDX-License-Identifier: Apache-2.0 */
/* The largest length there is. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_open(&offload, runtime);
    attack_judge(offload_set_len(&offload, UINT64_MAX));
}
