/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what is behind the other machine's part. */
#include "tests/hostile/peers.h"

void attack_run(struct runtime *runtime)
{
    if (peers_is_reader(runtime)) {
        peers_behave(runtime);
    }
    (void)*attack_pointer((uint64_t)(uintptr_t)peers_reader(runtime) + IVSHMEM_READER_LEN);
}
