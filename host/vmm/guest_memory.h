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

#include "abi/layout.h"
#include "base/error.h"

/* Where the parts of shared memory begin in its file, in bytes; data memory where a huge page can. */
#define GUEST_MEMORY_LOW_OFF 0ull
#define GUEST_MEMORY_REGISTERS_OFF LAYOUT_LOW_LEN
#define GUEST_MEMORY_DATA_OFF (GUEST_MEMORY_REGISTERS_OFF + LAYOUT_REGISTERS_LEN_MAX)

_Static_assert(GUEST_MEMORY_DATA_OFF % LAYOUT_HUGE_PAGE_LEN == 0, "data memory begins where a huge page can");

struct guest_memory {
    uint8_t *low;       /* LAYOUT_LOW_LEN bytes at LAYOUT_LOW_GPA */
    uint8_t *registers; /* one page per device at LAYOUT_REGISTERS_GPA */
    size_t registers_len;
    uint8_t *data; /* queues and arena at LAYOUT_DATA_GPA; the arena on huge pages where it may be */
    uint64_t data_len;
    int shared_fd;            /* an unnamed file that the memory, or data memory alone, is the content of; or -1 */
    uint64_t shared_data_off; /* where data memory begins in it, bytes: GUEST_MEMORY_DATA_OFF, or 0 when it is alone */
};

struct guest_memory_config {
    unsigned int device_count;
    uint64_t arena_len;  /* bytes, a multiple of LAYOUT_HUGE_PAGE_LEN up to LAYOUT_ARENA_LEN_MAX */
    bool is_shared;      /* another process maps it, too */
    bool is_data_shared; /* or at least data memory */
    bool is_sparse;      /* the guest needs little of it: a huge page would cost more, to be zeroed, than it brings */
};

/* Memory is zero. */
bool guest_memory_init(struct guest_memory *memory, const struct guest_memory_config *config, struct error *error);
void guest_memory_release(struct guest_memory *memory);

/* Everybody who is to share the memory has mapped it: the file has no more use as a descriptor. */
void guest_memory_close_file(struct guest_memory *memory);

/*
 * For untrusted addresses: sets *ret_host when [gpa, gpa + len) lies in data memory, and returns false
 * otherwise. What the pointer leads to may change at any time while a vCPU runs: read it once.
 */
bool guest_memory_data(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host) MUST_CHECK;

/*
 * The place of [gpa, gpa + len) in the file of memory that is shared as a whole; the range must lie in one part of
 * guest memory.
 */
uint64_t guest_memory_file_off(const struct guest_memory *memory, uint64_t gpa, uint64_t len);

/*
 * Makes the pages of [gpa, gpa + len), low or data memory, before anybody touches them: much cheaper all at once, and
 * the guest, for which the kernel maps what is there in groups, faults less often. Best effort.
 */
void guest_memory_populate(const struct guest_memory *memory, uint64_t gpa, uint64_t len);

/*
 * Makes the pages at `pages`, which are page-aligned and private to this process, those of [gpa, gpa + len) of low
 * memory: they are no longer where they were. `gpa` is page-aligned, and the last page comes whole. False when that is
 * not possible; nothing has changed then. Low memory must not be shared.
 */
bool guest_memory_move_in(const struct guest_memory *memory, uint64_t gpa, const uint8_t *pages, uint64_t len);

/*
 * Memory for a window (machine_add_window): zero, aligned to huge pages, `len` a multiple of them. NULL, with errno,
 * when there is none. A release of NULL is none.
 */
uint8_t *guest_memory_window(uint64_t len);
void guest_memory_window_release(uint8_t *window, uint64_t len);

/* For the VMM's own addresses: low memory, which no device reaches. The range must lie in it. */
uint8_t *guest_memory_low(const struct guest_memory *memory, uint64_t gpa, uint64_t len);

#endif
