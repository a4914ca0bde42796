/* SPDX-License-Identifier: Apache-2.0 */
#include "host/backends/find_zeros.h"

#include <fcntl.h>
#include <string.h>

#include "base/checked.h"
#include "base/zeros.h"
#include "host/backends/file_ranges.h"

/* Mostly this much of a unit tells. */
#define HEAD_LEN 64u
/* Of the others, so much is read at a time: on the stack. */
#define PART_LEN 16384u

static bool range_is_zero(int fd, uint64_t off, uint64_t len)
{
    uint8_t bytes[PART_LEN];
    while (len > 0) {
        /* cppcheck-suppress legacyUninitvar ; file_read fills it */
        struct iovec part = {bytes, (size_t)min_u64(len, sizeof(bytes))};
        if (file_read(fd, &part, 1, off) != 0 || !bytes_are_zero((struct span){bytes, part.iov_len})) {
            return false;
        }
        off += part.iov_len;
        len -= part.iov_len;
    }
    return true;
}

bool backend_find_zeros(const struct backend *backend, uint64_t off, uint64_t unit_len, unsigned int unit_count,
                        uint8_t *ret_bitmap, bool (*is_cancelled)(void *context), void *context)
{
    int fd = backend->data_fd;
    /* Heads alone would be read from the disk one by one. */
    posix_fadvise(fd, (off_t)off, (off_t)(unit_len * unit_count), POSIX_FADV_WILLNEED);
    memset(ret_bitmap, 0, (unit_count + 7) / 8);
    for (unsigned int i = 0; i < unit_count; i++, off += unit_len) {
        uint64_t head_len = min_u64(HEAD_LEN, unit_len);
        if (!range_is_zero(fd, off, head_len)) {
            continue;
        }
        if (is_cancelled(context)) {
            return false;
        }
        if (range_is_zero(fd, off + head_len, unit_len - head_len)) {
            ret_bitmap[i / 8] |= (uint8_t)(1u << i % 8);
        }
    }
    return true;
}
