/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/guest_memory.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/layout.h"
#include "base/checked.h"

static uint8_t *map_anonymous(size_t len)
{
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

/* mmap aligns to 4 KiB; a huge page wants 2 MiB: map more and give the ends back. */
static uint8_t *map_huge_aligned(uint64_t len)
{
    uint8_t *whole = map_anonymous(len + LAYOUT_HUGE_PAGE_LEN);
    if (whole == NULL) {
        return NULL;
    }
    uint8_t *aligned = (uint8_t *)round_up((uintptr_t)whole, LAYOUT_HUGE_PAGE_LEN);
    size_t before_len = (size_t)(aligned - whole);
    if (before_len > 0) {
        munmap(whole, before_len);
    }
    munmap(aligned + len, LAYOUT_HUGE_PAGE_LEN - before_len);
    /* Best effort: without huge pages the machine is slower, not wrong. */
    madvise(aligned, len, MADV_HUGEPAGE);
    return aligned;
}

bool guest_memory_init(struct guest_memory *memory, unsigned int device_count, uint64_t arena_len, struct error *error)
{
    *memory = (struct guest_memory){
        .registers_len = device_count * LAYOUT_REGISTERS_STRIDE,
        .data_len = LAYOUT_QUEUES_LEN + arena_len,
    };
    memory->low = map_anonymous(LAYOUT_LOW_LEN);
    memory->registers = map_anonymous(memory->registers_len);
    memory->data = map_huge_aligned(memory->data_len);
    if (memory->low == NULL || memory->registers == NULL || memory->data == NULL) {
        int saved_errno = errno;
        guest_memory_release(memory);
        return error_set(error, ERROR_HOST, NULL, "cannot map %llu MiB of guest memory: %s",
                         (unsigned long long)(LAYOUT_LOW_LEN + LAYOUT_QUEUES_LEN + arena_len) >> 20,
                         strerror(saved_errno));
    }
    /* Image content has no business in a core dump. */
    madvise(memory->low, LAYOUT_LOW_LEN, MADV_DONTDUMP);
    madvise(memory->data, memory->data_len, MADV_DONTDUMP);
    return true;
}

void guest_memory_release(struct guest_memory *memory)
{
    if (memory->low != NULL) {
        munmap(memory->low, LAYOUT_LOW_LEN);
    }
    if (memory->registers != NULL) {
        munmap(memory->registers, memory->registers_len);
    }
    if (memory->data != NULL) {
        munmap(memory->data, memory->data_len);
    }
    *memory = (struct guest_memory){0};
}

bool guest_memory_data(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host)
{
    if (gpa < LAYOUT_DATA_GPA || !range_is_within(gpa - LAYOUT_DATA_GPA, len, memory->data_len)) {
        return false;
    }
    *ret_host = memory->data + (gpa - LAYOUT_DATA_GPA);
    return true;
}

uint8_t *guest_memory_low(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
    assert(range_is_within(gpa, len, LAYOUT_LOW_LEN));
    return memory->low + gpa;
}
