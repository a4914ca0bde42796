/* SPDX-License-Identifier: Apache-2.0 */
/* A driver that knows no ports. */
#include "tests/hostile/raw_ports.h"

void attack_run(struct runtime *runtime)
{
    uint64_t registers_gpa = raw_registers(runtime, RAW_INPUT);
    raw_negotiate(registers_gpa, VIRTIO_F_VERSION_1);
    raw_start(registers_gpa);
}
