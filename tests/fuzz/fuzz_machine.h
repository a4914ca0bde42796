/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine without an engine, for fuzz targets of devices: memory, buses, and two disks. Disk 0 is read-only, disk 1
 * can do all that a disk can. They are late devices: whoever calls fuzz_machine_serve is their thread.
 */
#ifndef INSTAR_TESTS_FUZZ_FUZZ_MACHINE_H
#define INSTAR_TESTS_FUZZ_FUZZ_MACHINE_H

#include "host/devices/virtio_blk_device.h"
#include "host/vmm/machine.h"

/* Bytes of data memory: rings, and a little to point to. */
#define FUZZ_MACHINE_DATA_LEN (64u << 10)
#define FUZZ_MACHINE_DISK_LEN (48u << 10)
#define FUZZ_MACHINE_DISKS 2u
/* A disk whose length the guest sets does not get longer. */
#define FUZZ_MACHINE_DISK_LEN_MAX (1u << 20)

/* Starts anew, all zero but for the disks' content. What is stored is limited as by struct write_budget. */
struct machine *fuzz_machine_start(uint64_t write_limit_len);
void fuzz_machine_serve(void);
void fuzz_machine_stop(void);

struct virtio_blk *fuzz_machine_disk(unsigned int index);
const struct write_budget *fuzz_machine_budget(void);

#endif
