/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of an open file: whole transfers, zeros, holes. */
#include "host/backends/file_ranges.h"

#include <errno.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/backends/vectors.h"

/* What file_has_no_holes asks for: a page, and so a block of most file systems. */
#define PROBE_LEN 4096u

/* Zeros for files that cannot make them on their own: one call writes ZERO_VECTORS times ZEROS_LEN, 1 MiB. */
#define ZEROS_LEN 16384u
#define ZERO_VECTORS 64u
static const uint8_t zeros[ZEROS_LEN];

typedef ssize_t transfer_function(int fd, const struct iovec *iov, int iov_count, off_t off);

static uint64_t vectors_len(const struct iovec *iov, unsigned int iov_count)
{
    uint64_t len = 0;
    for (unsigned int i = 0; i < iov_count; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

/* One call. Returns 0 or an errno value. */
static int transfer_once(transfer_function *call, int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off,
                         uint64_t *ret_len)
{
    ssize_t moved;
    do {
        moved = call(fd, iov, (int)iov_count, (off_t)off);
    } while (moved < 0 && errno == EINTR); /* ends: signals do */
    if (moved <= 0) {
        return moved < 0 ? errno : EIO;
    }
    *ret_len = (uint64_t)moved;
    return 0;
}

/*
 * Goes on with a transfer that has fallen short. By itself, as the copy of the vectors is four pages of a stack that
 * nothing else touches.
 */
static __attribute__((noinline)) int rest_transfer(transfer_function *call, int fd, const struct iovec *iov,
                                                   unsigned int iov_count, uint64_t off, uint64_t done_len)
{
    struct iovec rest[BACKEND_IOV_MAX];
    uint64_t len = vectors_len(iov, iov_count);
    while (done_len < len) { /* ends: each round moves at least one byte, or fails */
        unsigned int count = vectors_part(iov, iov_count, done_len, len - done_len, rest, BACKEND_IOV_MAX);
        uint64_t moved_len;
        int result = transfer_once(call, fd, rest, count, off + done_len, &moved_len);
        if (result != 0) {
            return result;
        }
        done_len += moved_len;
    }
    return 0;
}

/* The vectors go to the kernel as they are; only when a transfer falls short its rest is copied. */
static int transfer(transfer_function *call, int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off)
{
    uint64_t len = vectors_len(iov, iov_count);
    uint64_t done_len = 0;
    if (len == 0) {
        return 0;
    }
    int result = transfer_once(call, fd, iov, iov_count, off, &done_len);
    return result == 0 && done_len < len ? rest_transfer(call, fd, iov, iov_count, off, done_len) : result;
}

int file_read(int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off)
{
    return transfer(preadv, fd, iov, iov_count, off);
}

int file_write(int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off)
{
    return transfer(pwritev, fd, iov, iov_count, off);
}

int file_write_cached(int fd, const struct iovec *iov, unsigned int iov_count, uint64_t off)
{
    uint64_t len = vectors_len(iov, iov_count);
    uint64_t done_len = 0;
    while (len - done_len > FILE_CACHED_WRITE_LEN) { /* ends: a part is not empty */
        struct iovec part[BACKEND_IOV_MAX];
        unsigned int count = vectors_part(iov, iov_count, done_len, FILE_CACHED_WRITE_LEN, part, BACKEND_IOV_MAX);
        int result = file_write(fd, part, count, off + done_len);
        if (result != 0) {
            return result;
        }
        done_len += vectors_len(part, count);
    }
    if (done_len == 0) {
        return file_write(fd, iov, iov_count, off);
    }
    struct iovec rest[BACKEND_IOV_MAX];
    unsigned int count = vectors_part(iov, iov_count, done_len, len - done_len, rest, BACKEND_IOV_MAX);
    return file_write(fd, rest, count, off + done_len);
}

int file_flush(int fd)
{
    int result;
    do {
        result = fdatasync(fd);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static int allocate(int fd, int mode, uint64_t off, uint64_t len)
{
    int result;
    do {
        result = fallocate(fd, mode, (off_t)off, (off_t)len);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

bool file_mode_is_unsupported(int error_number)
{
    /* EINVAL is a block device's word for a range that its logical blocks do not divide. */
    return error_number == EOPNOTSUPP || error_number == EINVAL;
}

int file_discard(int fd, uint64_t off, uint64_t len)
{
    int result = allocate(fd, FILE_MODE_PUNCH, off, len);
    return file_mode_is_unsupported(result) ? 0 : result;
}

static int write_zeros(int fd, uint64_t off, uint64_t len)
{
    struct iovec iov[ZERO_VECTORS] = {0};
    while (len > 0) {
        unsigned int iov_count = 0;
        uint64_t batch_len = 0;
        while (iov_count < ZERO_VECTORS && batch_len < len) {
            size_t vector_len = (size_t)min_u64(ZEROS_LEN, len - batch_len);
            /* The cast drops const: struct iovec has none, pwritev only reads. */
            iov[iov_count++] = (struct iovec){(void *)(uintptr_t)zeros, vector_len};
            batch_len += vector_len;
        }
        int result = file_write(fd, iov, iov_count, off);
        if (result != 0) {
            return result;
        }
        off += batch_len;
        len -= batch_len;
    }
    return 0;
}

int file_write_zeroes(int fd, uint64_t off, uint64_t len, bool may_unmap)
{
    if (may_unmap) {
        int result = allocate(fd, FILE_MODE_PUNCH, off, len);
        if (!file_mode_is_unsupported(result)) {
            return result;
        }
    }
    int result = allocate(fd, FILE_MODE_ZERO, off, len);
    return file_mode_is_unsupported(result) ? write_zeros(fd, off, len) : result;
}

int file_set_len(int fd, uint64_t len)
{
    int result;
    do {
        result = ftruncate(fd, (off_t)len);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

int file_end(int fd, uint64_t *ret_end)
{
    /* Unlike fstat, this also tells the length of a block device. */
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0) {
        return errno;
    }
    *ret_end = (uint64_t)end;
    return 0;
}

bool file_has_no_holes(int fd, uint64_t len)
{
    uint64_t off = min_u64(round_up(len, PROBE_LEN), round_down(INT64_MAX, PROBE_LEN) - PROBE_LEN);
    return fallocate(fd, FILE_MODE_PUNCH, (off_t)off, PROBE_LEN) != 0 && errno == EOPNOTSUPP;
}

/* Where the file has nothing but a hole from `off` on: a hole up to the file's end, if that is not before. */
static int extent_without_data(int fd, uint64_t len, uint64_t off, struct backend_extent *ret_extent)
{
    uint64_t end = 0;
    int result = file_end(fd, &end);
    if (result != 0) {
        return result;
    }
    if (end <= off) {
        *ret_extent = (struct backend_extent){off, len - off, BACKEND_EXTENT_DATA};
    } else {
        *ret_extent = (struct backend_extent){off, min_u64(end, len) - off, BACKEND_EXTENT_HOLE};
    }
    return 0;
}

int file_extent(int fd, uint64_t len, uint64_t off, struct backend_extent *ret_extent)
{
    off_t data = lseek(fd, (off_t)off, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        return extent_without_data(fd, len, off, ret_extent);
    }
    if (data < 0 && errno != EINVAL && errno != EOPNOTSUPP) {
        return errno;
    }
    if (data > (off_t)off) {
        *ret_extent = (struct backend_extent){off, min_u64((uint64_t)data, len) - off, BACKEND_EXTENT_HOLE};
        return 0;
    }
    uint64_t end = len;
    if (data == (off_t)off) {
        off_t hole = lseek(fd, (off_t)off, SEEK_HOLE);
        /* Anything else is a file that changed between the two calls, or cannot tell. */
        if (hole > data) {
            end = min_u64((uint64_t)hole, len);
        }
    }
    *ret_extent = (struct backend_extent){off, end - off, BACKEND_EXTENT_DATA};
    return 0;
}

int file_run(int fd, const struct backend_operation *operation)
{
    switch (operation->kind) {
    case BACKEND_READ:
        return file_read(fd, operation->iov, operation->iov_count, operation->off);
    case BACKEND_WRITE:
        return file_write_cached(fd, operation->iov, operation->iov_count, operation->off);
    case BACKEND_FLUSH:
        return file_flush(fd);
    case BACKEND_DISCARD:
        return file_discard(fd, operation->off, operation->len);
    case BACKEND_WRITE_ZEROES:
        return file_write_zeroes(fd, operation->off, operation->len, operation->may_unmap);
    }
    return EINVAL;
}
