/* SPDX-License-Identifier: Apache-2.0 */
#include "host/backends/copy_zeros.h"

#include <string.h>

#include "base/checked.h"

/* Words looked at in one step, without a branch between them: 64 bytes, a cache line. */
#define STEP_WORDS 8u

bool bytes_are_zero(const uint8_t *bytes, size_t len)
{
    size_t off = 0;
    for (; len - off >= STEP_WORDS * sizeof(uint64_t); off += STEP_WORDS * sizeof(uint64_t)) {
        uint64_t words[STEP_WORDS];
        memcpy(words, bytes + off, sizeof(words));
        uint64_t bits = 0;
        for (unsigned int i = 0; i < STEP_WORDS; i++) {
            bits |= words[i];
        }
        if (bits != 0) {
            return false;
        }
    }
    for (; off < len; off++) {
        if (bytes[off] != 0) {
            return false;
        }
    }
    return true;
}

/* The bytes from `off` to the next block of the target, or to the end. */
static size_t block_len(size_t off, size_t len, uint64_t target_off)
{
    uint64_t into_block = (target_off + off) % COPY_ZEROS_BLOCK_LEN;
    return (size_t)min_u64(COPY_ZEROS_BLOCK_LEN - into_block, len - off);
}

/* Where the run of blocks from `off` on ends that are all zeros, or all not; looks no further than wanted_len. */
static size_t blocks_end(const uint8_t *bytes, size_t off, size_t len, uint64_t target_off, uint64_t wanted_len,
                         bool *ret_is_zero)
{
    bool is_zero = bytes_are_zero(bytes + off, block_len(off, len, target_off));
    size_t end = off;
    do {
        end += block_len(end, len, target_off);
    } while (end < len && end - off < wanted_len &&
             bytes_are_zero(bytes + end, block_len(end, len, target_off)) == is_zero);
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
