/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a machine (abi/layout.h) as the host sees it.
 *
 * A guest-physical address is a number that nothing here can dereference; it becomes a pointer only together
 * with a length, and for addresses that the guest chose only within data memory.
 */
#ifndef INSTAR_HOST_VMM_GUEST_MEMORY_H
#define INSTAR_HOST_VMM_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest_memory {
    uint8_t *low;       /* LAYOUT_LOW_LEN bytes at LAYOUT_LOW_GPA */
    uint8_t *registers; /* one page per device at LAYOUT_REGISTERS_GPA */
    size_t registers_len;
    uint8_t *data; /* queues and arena at LAYOUT_DATA_GPA, on huge pages where the kernel has them */
    uint64_t data_len;
};

/* `arena_len`: bytes, a multiple of LAYOUT_HUGE_PAGE_LEN up to LAYOUT_ARENA_LEN_MAX. Memory is zero. */
bool guest_memory_init(struct guest_memory *memory, unsigned int device_count, uint64_t arena_len, struct error *error);
void guest_memory_release(struct guest_memory *memory);

/*
 * For untrusted addresses: sets *ret_host when [gpa, gpa + len) lies in data memory, and returns false
 * otherwise. What the pointer leads to may change at any time while a vCPU runs: read it once.
 */
bool guest_memory_data(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host) MUST_CHECK;

/* For the VMM's own addresses: low memory, which no device reaches. The range must lie in it. */
uint8_t *guest_memory_low(const struct guest_memory *memory, uint64_t gpa, uint64_t len);

#endif
