/* SPDX-License-Identifier: Apache-2.0 */
/* What test_guest_machine.c and test_guest_disk.c, its disks, have to do with each other. */
#ifndef INSTAR_TESTS_UNIT_TEST_GUEST_DISK_H
#define INSTAR_TESTS_UNIT_TEST_GUEST_DISK_H

#include "test_guest_machine.h"

/* The machine's, for its disks. */
void *fake_memory(uint64_t gpa, uint64_t len);
/* By its offset in data memory, as a machine counts it; of what lies in the rings' part. */
void *fake_memory_at(uint32_t data_off, uint64_t len);
void fake_machine_signal(void);

/* Registers, by their offset. */
uint32_t fake_disk_read_register(struct fake_disk *disk, uint64_t off);
void fake_disk_write_register(struct fake_disk *disk, uint64_t off, uint32_t value);
void fake_disk_config(struct fake_disk *disk, uint64_t off, void *target, uint64_t len);

/* Serves some requests. False when there is nothing to do. */
bool fake_disk_work(struct fake_disk *disk);

#endif
