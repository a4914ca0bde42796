/* SPDX-License-Identifier: Apache-2.0 */
#include "host/backends/copy_zeros.h"

#include "base/checked.h"
#include "base/zeros.h"

/* The bytes from `off` to the next block of the target, or to the end. */
static size_t block_len(size_t off, size_t len, uint64_t target_off)
{
    uint64_t into_block = (target_off + off) % COPY_ZEROS_BLOCK_LEN;
    return (size_t)min_u64(COPY_ZEROS_BLOCK_LEN - into_block, len - off);
}

static bool block_is_zero(const uint8_t *bytes, size_t off, size_t len, uint64_t target_off)
{
    return bytes_are_zero((struct span){bytes + off, block_len(off, len, target_off)});
}

/* Where the run of blocks from `off` on ends that are all zeros, or all not; looks no further than wanted_len. */
static size_t blocks_end(const uint8_t *bytes, size_t off, size_t len, uint64_t target_off, uint64_t wanted_len,
                         bool *ret_is_zero)
{
    bool is_zero = block_is_zero(bytes, off, len, target_off);
    size_t end = off;
    do {
        end += block_len(end, len, target_off);
    } while (end < len && end - off < wanted_len && block_is_zero(bytes, end, len, target_off) == is_zero);
    *ret_is_zero = is_zero;
    return end;
}

size_t copy_zeros_run(const uint8_t *bytes, size_t len, uint64_t target_off, uint64_t zero_len, bool *ret_is_zero)
{
    size_t end = blocks_end(bytes, 0, len, target_off, len, ret_is_zero);
    if (*ret_is_zero) {
        return end;
    }
    /* Zeros that are too few belong to the data before and behind them. */
    while (end < len) {
        bool is_zero;
        size_t next_end = blocks_end(bytes, end, len, target_off, zero_len, &is_zero);
        if (is_zero && (next_end - end >= zero_len || next_end == len)) {
            break;
        }
        end = next_end;
    }
    return end;
}
