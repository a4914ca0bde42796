/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/guest_memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"

/* MFD_NOEXEC_SEAL would forbid nothing that matters, and kernels before 6.3 do not know it. */
#define SHARED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

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
    return aligned;
}

/* Its length is sealed: whoever maps the file could otherwise make our accesses faults by cutting it. */
static bool shared_file_make(struct guest_memory *memory, uint64_t data_off)
{
    memory->shared_fd = memfd_create("instar-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    memory->shared_data_off = data_off;
    return memory->shared_fd >= 0 && ftruncate(memory->shared_fd, (off_t)(data_off + memory->data_len)) == 0 &&
           fcntl(memory->shared_fd, F_ADD_SEALS, SHARED_SEALS) == 0;
}

static uint8_t *map_shared(const struct guest_memory *memory, uint64_t off, uint64_t len)
{
    void *part = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->shared_fd, (off_t)off);
    return part != MAP_FAILED ? part : NULL;
}

/* Low memory, and data memory behind it, unless that is a file. */
static void map_low_and_data(struct guest_memory *memory, bool is_data_shared)
{
    uint64_t len = LAYOUT_LOW_LEN + (is_data_shared ? 0 : memory->data_len);
    memory->low = map_huge_aligned(len);
    if (!is_data_shared) {
        memory->data = memory->low != NULL ? memory->low + LAYOUT_LOW_LEN : NULL;
    } else if (shared_file_make(memory, 0)) {
        memory->data = map_shared(memory, 0, memory->data_len);
    }
}

/* A machine without devices (a disk that is not there is measured) has no registers; no mapping has no length. */
static bool parts_map(struct guest_memory *memory, const struct guest_memory_config *config)
{
    bool has_registers = memory->registers_len > 0;
    if (config->is_shared) {
        if (!shared_file_make(memory, GUEST_MEMORY_DATA_OFF)) {
            return false;
        }
        memory->low = map_shared(memory, GUEST_MEMORY_LOW_OFF, LAYOUT_LOW_LEN);
        memory->registers =
            has_registers ? map_shared(memory, GUEST_MEMORY_REGISTERS_OFF, memory->registers_len) : NULL;
        memory->data = map_shared(memory, GUEST_MEMORY_DATA_OFF, memory->data_len);
    } else {
        map_low_and_data(memory, config->is_data_shared);
        memory->registers = has_registers ? map_anonymous(memory->registers_len) : NULL;
    }
    return memory->low != NULL && (memory->registers != NULL || !has_registers) && memory->data != NULL;
}

bool guest_memory_init(struct guest_memory *memory, const struct guest_memory_config *config, struct error *error)
{
    *memory = (struct guest_memory){
        .registers_len = config->device_count * LAYOUT_REGISTERS_STRIDE,
        .data_len = LAYOUT_QUEUES_LEN + config->arena_len,
        .shared_fd = -1,
    };
    if (!parts_map(memory, config)) {
        int saved_errno = errno;
        guest_memory_release(memory);
        /* Memory that processes share is a file, to which RLIMIT_FSIZE applies like to any other. */
        return error_set(error, ERROR_HOST, NULL, "cannot map %llu MiB of guest memory: %s%s",
                         (unsigned long long)(LAYOUT_LOW_LEN + LAYOUT_QUEUES_LEN + config->arena_len) >> 20,
                         strerror(saved_errno),
                         saved_errno == EFBIG ? " (the limit on file sizes, ulimit -f, is below that)" : "");
    }
    if (memory->shared_fd < 0 && !config->is_sparse) {
        /* Best effort: without huge pages the machine is slower, not wrong. Of the queues' memory little is touched. */
        madvise(memory->data + LAYOUT_QUEUES_LEN, config->arena_len, MADV_HUGEPAGE);
    }
    /* Image content has no business in a core dump. */
    madvise(memory->low, LAYOUT_LOW_LEN, MADV_DONTDUMP);
    madvise(memory->data, memory->data_len, MADV_DONTDUMP);
    return true;
}

void guest_memory_close_file(struct guest_memory *memory)
{
    if (memory->shared_fd > 0) { /* 0 in one that was never made; standard input has that number */
        close(memory->shared_fd);
    }
    memory->shared_fd = -1;
}

void guest_memory_release(struct guest_memory *memory)
{
    guest_memory_close_file(memory);
    if (memory->low != NULL) {
        munmap(memory->low, LAYOUT_LOW_LEN);
    }
    if (memory->registers != NULL) {
        munmap(memory->registers, memory->registers_len);
    }
    if (memory->data != NULL) {
        munmap(memory->data, memory->data_len);
    }
    *memory = (struct guest_memory){.shared_fd = -1};
}

bool guest_memory_data(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host)
{
    if (gpa < LAYOUT_DATA_GPA || !range_is_within(gpa - LAYOUT_DATA_GPA, len, memory->data_len)) {
        return false;
    }
    *ret_host = memory->data + (gpa - LAYOUT_DATA_GPA);
    return true;
}

uint64_t guest_memory_file_off(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
    if (gpa >= LAYOUT_DATA_GPA) {
        assert(range_is_within(gpa - LAYOUT_DATA_GPA, len, memory->data_len));
        return GUEST_MEMORY_DATA_OFF + (gpa - LAYOUT_DATA_GPA);
    }
    if (gpa >= LAYOUT_REGISTERS_GPA) {
        assert(range_is_within(gpa - LAYOUT_REGISTERS_GPA, len, memory->registers_len));
        return GUEST_MEMORY_REGISTERS_OFF + (gpa - LAYOUT_REGISTERS_GPA);
    }
    assert(range_is_within(gpa, len, LAYOUT_LOW_LEN));
    return GUEST_MEMORY_LOW_OFF + gpa;
}

void guest_memory_populate(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
    uint64_t start_gpa = round_down(gpa, LAYOUT_PAGE_LEN);
    uint64_t page_len = round_up(gpa + len, LAYOUT_PAGE_LEN) - start_gpa;
    uint8_t *start = start_gpa >= LAYOUT_DATA_GPA ? memory->data + (start_gpa - LAYOUT_DATA_GPA)
                                                  : guest_memory_low(memory, start_gpa, page_len);
    /* Before Linux 5.14 it is unknown; then pages come as they are touched. */
    madvise(start, page_len, MADV_POPULATE_WRITE);
}

bool guest_memory_move_in(const struct guest_memory *memory, uint64_t gpa, const uint8_t *pages, uint64_t len)
{
    assert(memory->shared_fd < 0 || memory->shared_data_off == 0);
    uint64_t page_len = round_up(len, LAYOUT_PAGE_LEN);
    void *target = guest_memory_low(memory, gpa, page_len);
    return mremap((void *)(uintptr_t)pages, page_len, page_len, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target;
}

uint8_t *guest_memory_low(const struct guest_memory *memory, uint64_t gpa, uint64_t len)
{
    assert(range_is_within(gpa, len, LAYOUT_LOW_LEN));
    return memory->low + gpa;
}

uint8_t *guest_memory_window(uint64_t len)
{
    uint8_t *window = map_huge_aligned(len);
    if (window != NULL) {
        madvise(window, len, MADV_DONTDUMP);
    }
    return window;
}

void guest_memory_window_release(uint8_t *window, uint64_t len)
{
    if (window != NULL) {
        munmap(window, len);
    }
}
