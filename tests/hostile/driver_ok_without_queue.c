/* SPDX-License-Identifier: Apache-2.0 */
/* The driver starts without a queue. */
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1);
    raw_start(registers_gpa);
}
