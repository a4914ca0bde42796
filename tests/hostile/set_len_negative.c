/* SPDX-License-Identifier: Apache-2.0 */
/* A length that the kernel would take for a negative one. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_offload.h"

void attack_run(struct runtime *runtime)
{
    struct offload offload;
    offload_open(&offload, runtime);
    attack_judge(offload_set_len(&offload, 1ull << 63));
}
