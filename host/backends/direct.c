/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Past the page cache: O_DIRECT, for files that shall not push everything else out of memory.
 *
 * The file is open twice. Whole blocks go through the direct descriptor, from and to the caller's memory when
 * that is aligned, else through a bounce buffer. The beginning and the end of a range that does not fall on
 * blocks, such as the end of a file of odd length, go through the buffered one.
 *
 * The two stay coherent because the kernel writes dirty cached pages back before a direct read or write of
 * their range, and drops cached pages that a direct write made stale. That is safe as long as nobody uses
 * both on one block at the same time, and a backend runs one operation after the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/backends/file_ranges.h"
#include "host/backends/kinds.h"
#include "host/backends/vectors.h"

/* Large enough to keep a disk busy, small enough not to count. */
#define BOUNCE_LEN (1024u * 1024u)
/* What every file system with O_DIRECT accepts, for kernels and file systems that do not tell. */
#define ALIGN_FALLBACK 4096u

struct direct {
    struct backend backend;
    int direct_fd;
    uint64_t block_len;    /* offsets and lengths of direct transfers are multiples of it */
    uint64_t memory_align; /* and memory addresses of this */
    uint8_t *bounce;       /* BOUNCE_LEN bytes */
};

/* A second description of the same file: O_DIRECT belongs to the description, and the first one stays buffered. */
static bool open_direct(struct direct *direct, const struct backend_config *config, struct error *error)
{
    char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", config->fd);
    direct->direct_fd = open(name, (config->writable ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (direct->direct_fd >= 0) {
        return backend_fd_place(&direct->direct_fd, config->fd) ||
               error_set(error, ERROR_HOST, config->path, "cannot number a descriptor: %s", strerror(errno));
    }
    if (errno == EINVAL) {
        return error_set(error, ERROR_UNSUPPORTED, config->path, "the file system does not support O_DIRECT");
    }
    return error_set(error, ERROR_IO, config->path, "cannot open with O_DIRECT: %s", strerror(errno));
}

/* For a kernel or file system that does not tell through statx. */
static void guess_alignment(struct direct *direct, mode_t mode)
{
    int sector_len = 0;
    direct->block_len = ALIGN_FALLBACK;
    if (S_ISBLK(mode) && ioctl(direct->direct_fd, BLKSSZGET, &sector_len) == 0 && sector_len > 0) {
        direct->block_len = (uint64_t)sector_len;
    }
    direct->memory_align = direct->block_len;
}

static bool find_alignment(struct direct *direct, const struct backend_config *config, struct error *error)
{
    struct statx status;
    if (statx(direct->direct_fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_DIOALIGN, &status) != 0) {
        return error_set(error, ERROR_IO, config->path, "cannot stat: %s", strerror(errno));
    }
    if ((status.stx_mask & STATX_DIOALIGN) == 0) {
        guess_alignment(direct, status.stx_mode);
    } else if (status.stx_dio_offset_align == 0 || status.stx_dio_mem_align == 0) {
        return error_set(error, ERROR_UNSUPPORTED, config->path, "the file does not support O_DIRECT");
    } else {
        direct->block_len = status.stx_dio_offset_align;
        direct->memory_align = status.stx_dio_mem_align;
    }
    if (!is_power_of_two(direct->block_len) || direct->block_len > BOUNCE_LEN ||
        !is_power_of_two(direct->memory_align) || direct->memory_align > BOUNCE_LEN) {
        return error_set(error, ERROR_UNSUPPORTED, config->path, "O_DIRECT with an alignment of %llu and %llu bytes",
                         (unsigned long long)direct->block_len, (unsigned long long)direct->memory_align);
    }
    return true;
}

static bool open_parts(struct direct *direct, const struct backend_config *config, struct error *error)
{
    RETURN_IF_FAILED(open_direct(direct, config, error));
    RETURN_IF_FAILED(find_alignment(direct, config, error));
    uint64_t align = max_u64(max_u64(direct->memory_align, direct->block_len), ALIGN_FALLBACK);
    direct->bounce = aligned_alloc((size_t)align, BOUNCE_LEN);
    if (direct->bounce == NULL) {
        return error_set(error, ERROR_HOST, config->path, "out of memory");
    }
    /* What is still read through the page cache is an odd end here and there: no read-ahead. Only a hint. */
    posix_fadvise(config->fd, 0, 0, POSIX_FADV_RANDOM);
    return true;
}

static void release(struct backend *backend)
{
    struct direct *direct = (struct direct *)backend;
    if (direct->direct_fd >= 0) {
        close(direct->direct_fd);
    }
    free(direct->bounce);
    free(direct);
}

struct backend *direct_open(const struct backend_config *config, struct error *error)
{
    struct direct *direct = backend_allocate(sizeof(*direct), &direct_operations, config, error);
    if (direct == NULL) {
        return NULL;
    }
    direct->direct_fd = -1;
    if (!open_parts(direct, config, error)) {
        release(&direct->backend);
        return NULL;
    }
    direct->backend.direct_fd = direct->direct_fd;
    direct->backend.direct_len = max_u64(direct->block_len, direct->memory_align);
    direct->backend.copies_by_start = true;
    return &direct->backend;
}

static int transfer_buffered(struct direct *direct, bool is_write, const struct iovec *iov, unsigned int iov_count,
                             uint64_t off)
{
    return is_write ? file_write(direct->backend.fd, iov, iov_count, off)
                    : file_read(direct->backend.fd, iov, iov_count, off);
}

/*
 * Moves whole blocks from or to aligned vectors. A transfer that falls short ends where alignment does not
 * hold any more, or would fail next (the file shrank, the disk is full): the buffered descriptor does the
 * rest, or finds out why not.
 */
static int transfer_blocks(struct direct *direct, bool is_write, const struct iovec *iov, unsigned int iov_count,
                           uint64_t off, uint64_t len)
{
    ssize_t moved;
    do {
        moved = is_write ? pwritev(direct->direct_fd, iov, (int)iov_count, (off_t)off)
                         : preadv(direct->direct_fd, iov, (int)iov_count, (off_t)off);
    } while (moved < 0 && errno == EINTR);
    if (moved < 0) {
        return errno;
    }
    if ((uint64_t)moved == len) {
        return 0;
    }
    struct iovec rest[BACKEND_IOV_MAX];
    unsigned int rest_count =
        vectors_part(iov, iov_count, (uint64_t)moved, len - (uint64_t)moved, rest, BACKEND_IOV_MAX);
    return transfer_buffered(direct, is_write, rest, rest_count, off + (uint64_t)moved);
}

static int transfer_bounced(struct direct *direct, bool is_write, const struct iovec *iov, unsigned int iov_count,
                            uint64_t off, uint64_t len)
{
    uint64_t done_len = 0;
    while (done_len < len) {
        struct iovec bounce = {direct->bounce, (size_t)min_u64(BOUNCE_LEN, len - done_len)};
        if (is_write) {
            vectors_gather(iov, iov_count, done_len, bounce.iov_base, bounce.iov_len);
        }
        int result = transfer_blocks(direct, is_write, &bounce, 1, off + done_len, bounce.iov_len);
        if (result != 0) {
            return result;
        }
        if (!is_write) {
            vectors_scatter(iov, iov_count, done_len, bounce.iov_base, bounce.iov_len);
        }
        done_len += bounce.iov_len;
    }
    return 0;
}

static bool vectors_are_aligned(const struct direct *direct, const struct iovec *iov, unsigned int iov_count)
{
    uint64_t address_bits = 0;
    uint64_t len_bits = 0;
    for (unsigned int i = 0; i < iov_count; i++) {
        address_bits |= (uintptr_t)iov[i].iov_base;
        len_bits |= iov[i].iov_len;
    }
    return (address_bits & (direct->memory_align - 1)) == 0 && (len_bits & (direct->block_len - 1)) == 0;
}

/* Moves [off, end) of the operation's range. */
static int transfer_part(struct direct *direct, const struct backend_operation *operation, uint64_t off, uint64_t end,
                         bool is_whole_blocks)
{
    if (off >= end) {
        return 0;
    }
    bool is_write = operation->kind == BACKEND_WRITE;
    struct iovec part[BACKEND_IOV_MAX];
    unsigned int part_count =
        vectors_part(operation->iov, operation->iov_count, off - operation->off, end - off, part, BACKEND_IOV_MAX);
    if (!is_whole_blocks) {
        return transfer_buffered(direct, is_write, part, part_count, off);
    }
    if (vectors_are_aligned(direct, part, part_count)) {
        return transfer_blocks(direct, is_write, part, part_count, off, end - off);
    }
    return transfer_bounced(direct, is_write, part, part_count, off, end - off);
}

static int transfer(struct direct *direct, const struct backend_operation *operation)
{
    uint64_t end = operation->off + operation->len;
    uint64_t head_end = min_u64(round_up(operation->off, direct->block_len), end);
    uint64_t tail = max_u64(round_down(end, direct->block_len), head_end);
    int result = transfer_part(direct, operation, operation->off, head_end, false);
    if (result == 0) {
        result = transfer_part(direct, operation, head_end, tail, true);
    }
    if (result == 0) {
        result = transfer_part(direct, operation, tail, end, false);
    }
    return result;
}

static bool start(struct backend *backend, struct backend_operation *operation)
{
    if (operation->kind == BACKEND_READ || operation->kind == BACKEND_WRITE) {
        operation->result = transfer((struct direct *)backend, operation);
    } else {
        operation->result = file_run(backend->fd, operation);
    }
    return true;
}

static int extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    return file_extent(backend->fd, backend->len, off, ret_extent);
}

const struct backend_operations direct_operations = {
    .name = "direct",
    .start = start,
    .extent = extent,
    .release = release,
};
