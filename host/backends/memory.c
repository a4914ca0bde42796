/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device in memory. The file's data is loaded at open and stored at finish; in between nothing touches
 * the file.
 *
 * The memory is a memfd, as sparse as the file: holes cost nothing. It is read and written by system calls,
 * because reading a hole through a mapping would allocate it.
 *
 * There is no stable storage before finish: a flush is remembered, and fulfilled there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/backends/file_ranges.h"
#include "host/backends/kinds.h"

/* Bytes held in memory at most, holes not counted: what a machine that converts images can spare for one. */
#define STORED_MAX_LEN (1024ull * 1024u * 1024u)
/* Bytes moved at a time between file and memory. */
#define COPY_LEN (1024u * 1024u)
/* Memory is counted in pages. */
#define PAGE_LEN 4096u

struct memory {
    struct backend backend;
    int memory_fd;
    uint64_t stored_max_len;
    bool owes_flush;
    void *copy_buffer; /* COPY_LEN bytes */
};

static int stored_len(const struct memory *memory, uint64_t *ret_len)
{
    /* Raw: fstat of glibc is newfstatat, which takes a name, and so has no place in a jail. */
    struct stat status;
    if (syscall(SYS_fstat, memory->memory_fd, &status) != 0) {
        return errno;
    }
    *ret_len = (uint64_t)status.st_blocks * 512;
    return 0;
}

/* Sets *ret_len to the bytes that [off, end) takes when it is all written, and does not take now. */
static int missing_len(const struct memory *memory, uint64_t off, uint64_t end, uint64_t *ret_len)
{
    uint64_t len = 0;
    while (off < end) {
        struct backend_extent found;
        int result = file_extent(memory->memory_fd, end, off, &found);
        if (result != 0) {
            return result;
        }
        if (found.kind == BACKEND_EXTENT_HOLE) {
            len += round_up(found.off + found.len, PAGE_LEN) - round_down(found.off, PAGE_LEN);
        }
        off = found.off + found.len;
    }
    *ret_len = len;
    return 0;
}

/* ENOSPC when a write to the range would take the memory past its bound. */
static int check_space(const struct memory *memory, uint64_t off, uint64_t len)
{
    uint64_t stored = 0;
    int result = stored_len(memory, &stored);
    if (result != 0) {
        return result;
    }
    uint64_t added = round_up(off + len, PAGE_LEN) - round_down(off, PAGE_LEN);
    if (stored + added > memory->stored_max_len) {
        /* What is there already is written again at no cost; to count it is slow, so only near the bound. */
        result = missing_len(memory, off, off + len, &added);
        if (result != 0) {
            return result;
        }
    }
    return stored + added > memory->stored_max_len ? ENOSPC : 0;
}

static int copy_range(const struct memory *memory, int from_fd, int to_fd, uint64_t off, uint64_t len)
{
    while (len > 0) {
        struct iovec piece = {memory->copy_buffer, (size_t)min_u64(COPY_LEN, len)};
        int result = file_read(from_fd, &piece, 1, off);
        if (result == 0) {
            result = file_write(to_fd, &piece, 1, off);
        }
        if (result != 0) {
            return result;
        }
        off += piece.iov_len;
        len -= piece.iov_len;
    }
    return 0;
}

static int load(const struct memory *memory)
{
    uint64_t off = 0;
    while (off < memory->backend.len) {
        struct backend_extent found;
        int result = file_extent(memory->backend.fd, memory->backend.len, off, &found);
        if (result == 0 && found.kind == BACKEND_EXTENT_DATA) {
            result = check_space(memory, found.off, found.len);
            if (result == 0) {
                result = copy_range(memory, memory->backend.fd, memory->memory_fd, found.off, found.len);
            }
        }
        if (result != 0) {
            return result;
        }
        off = found.off + found.len;
    }
    return 0;
}

static bool open_parts(struct memory *memory, const struct backend_config *config, struct error *error)
{
    memory->copy_buffer = malloc(COPY_LEN);
    memory->memory_fd = memfd_create("instar-device", MFD_CLOEXEC);
    if (memory->copy_buffer == NULL || memory->memory_fd < 0 ||
        !backend_fd_place(&memory->memory_fd, config->written_fd_min) ||
        ftruncate(memory->memory_fd, (off_t)config->len) != 0) {
        return error_set(error, ERROR_HOST, config->path, "cannot create memory for the device: %s", strerror(errno));
    }
    int result = load(memory);
    if (result == ENOSPC) {
        return error_set(error, ERROR_LIMIT, config->path, "the memory backend holds at most %llu bytes of data",
                         (unsigned long long)memory->stored_max_len);
    }
    if (result != 0) {
        return error_set(error, ERROR_IO, config->path, "cannot load into memory: %s", strerror(result));
    }
    return true;
}

static void release(struct backend *backend)
{
    struct memory *memory = (struct memory *)backend;
    if (memory->memory_fd >= 0) {
        close(memory->memory_fd);
    }
    free(memory->copy_buffer);
    free(memory);
}

struct backend *memory_open_bounded(const struct backend_config *config, uint64_t stored_max_len, struct error *error)
{
    struct memory *memory = backend_allocate(sizeof(*memory), &memory_operations, config, error);
    if (memory == NULL) {
        return NULL;
    }
    memory->memory_fd = -1;
    memory->stored_max_len = stored_max_len;
    if (!open_parts(memory, config, error)) {
        release(&memory->backend);
        return NULL;
    }
    memory->backend.data_fd = memory->memory_fd;
    memory->backend.copies_by_start = true; /* which counts what is stored */
    return &memory->backend;
}

struct backend *memory_open(const struct backend_config *config, struct error *error)
{
    return memory_open_bounded(config, STORED_MAX_LEN, error);
}

static bool start(struct backend *backend, struct backend_operation *operation)
{
    struct memory *memory = (struct memory *)backend;
    operation->result = 0;
    if (operation->kind == BACKEND_FLUSH) {
        memory->owes_flush = true;
        return true;
    }
    if (operation->kind == BACKEND_WRITE || (operation->kind == BACKEND_WRITE_ZEROES && !operation->may_unmap)) {
        operation->result = check_space(memory, operation->off, operation->len);
    }
    if (operation->result == 0) {
        operation->result = file_run(memory->memory_fd, operation);
    }
    return true;
}

static int extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    const struct memory *memory = (struct memory *)backend;
    return file_extent(memory->memory_fd, backend->len, off, ret_extent);
}

/*
 * Clears what the file has where the memory has a hole. The file's own holes are left alone: they may be
 * storage that somebody reserved.
 */
static int clear_file(const struct memory *memory, uint64_t off, uint64_t end)
{
    while (off < end) {
        struct backend_extent found;
        int result = file_extent(memory->backend.fd, end, off, &found);
        if (result == 0 && found.kind == BACKEND_EXTENT_DATA) {
            result = file_write_zeroes(memory->backend.fd, found.off, found.len, true);
        }
        if (result != 0) {
            return result;
        }
        off = found.off + found.len;
    }
    return 0;
}

static int finish(struct backend *backend)
{
    const struct memory *memory = (struct memory *)backend;
    uint64_t off = 0;
    while (off < backend->len) {
        struct backend_extent found;
        int result = file_extent(memory->memory_fd, backend->len, off, &found);
        if (result == 0) {
            result = found.kind == BACKEND_EXTENT_DATA
                         ? copy_range(memory, memory->memory_fd, backend->fd, found.off, found.len)
                         : clear_file(memory, found.off, found.off + found.len);
        }
        if (result != 0) {
            return result;
        }
        off = found.off + found.len;
    }
    return memory->owes_flush ? file_flush(backend->fd) : 0;
}

/* The file first, which can refuse; then finish finds it long enough. */
static int set_len(struct backend *backend, uint64_t len)
{
    const struct memory *memory = (struct memory *)backend;
    int result = file_set_len(backend->fd, len);
    return result == 0 ? file_set_len(memory->memory_fd, len) : result;
}

const struct backend_operations memory_operations = {
    .name = "memory",
    .start = start,
    .extent = extent,
    .finish = finish,
    .set_len = set_len,
    .release = release,
};
