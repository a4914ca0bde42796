/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of scatter/gather vectors. */
#include "host/backends/vectors.h"

#include <stdbool.h>
#include <string.h>

#include "base/checked.h"

unsigned int vectors_part(const struct iovec *iov, unsigned int iov_count, uint64_t skip, uint64_t len,
                          struct iovec *ret_part, unsigned int max)
{
    unsigned int part_count = 0;
    for (unsigned int i = 0; i < iov_count && part_count < max && len > 0; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t piece_len = (size_t)min_u64(iov[i].iov_len - skip, len);
        ret_part[part_count++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, piece_len};
        skip = 0;
        len -= piece_len;
    }
    return part_count;
}

/* Copies between a part of the vectors and `bytes`, which are the source when `to_vectors`. */
static void copy(const struct iovec *iov, unsigned int iov_count, uint64_t skip, uint8_t *bytes, size_t len,
                 bool to_vectors)
{
    for (unsigned int i = 0; i < iov_count && len > 0; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        uint8_t *piece = (uint8_t *)iov[i].iov_base + skip;
        size_t piece_len = (size_t)min_u64(iov[i].iov_len - skip, len);
        memcpy(to_vectors ? piece : bytes, to_vectors ? bytes : piece, piece_len);
        skip = 0;
        bytes += piece_len;
        len -= piece_len;
    }
}

void vectors_gather(const struct iovec *iov, unsigned int iov_count, uint64_t skip, void *target, size_t len)
{
    copy(iov, iov_count, skip, target, len, false);
}

void vectors_scatter(const struct iovec *iov, unsigned int iov_count, uint64_t skip, void *source, size_t len)
{
    copy(iov, iov_count, skip, source, len, true);
}
