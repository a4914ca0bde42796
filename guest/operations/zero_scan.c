/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/zero_scan.h"

#include <emmintrin.h>
#include <string.h>

#include "base/checked.h"

#define STEP_LEN 64u

static __m128i load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

static bool step_is_zero(const uint8_t *data)
{
    __m128i low = _mm_or_si128(load(data), load(data + 16));
    __m128i high = _mm_or_si128(load(data + 32), load(data + 48));
    __m128i equal = _mm_cmpeq_epi8(_mm_or_si128(low, high), _mm_setzero_si128());
    return _mm_movemask_epi8(equal) == 0xffff;
}

bool bytes_are_zero(struct span bytes)
{
    size_t off = 0;
    for (; bytes.len - off >= STEP_LEN; off += STEP_LEN) {
        if (!step_is_zero(bytes.data + off)) {
            return false;
        }
    }
    for (; off < bytes.len; off++) {
        if (bytes.data[off] != 0) {
            return false;
        }
    }
    return true;
}

/* The block at the start of `bytes`, which come from the offset `off`. */
static struct span first_block(struct span bytes, uint64_t off, uint64_t block_len)
{
    uint64_t block_left = block_len - off % block_len;
    return (struct span){bytes.data, (size_t)min_u64(block_left, bytes.len)};
}

struct zero_run zero_run_find_blocks(struct span bytes, uint64_t off, uint64_t block_len)
{
    struct span block = first_block(bytes, off, block_len);
    struct zero_run run = {.len = block.len, .is_zero = bytes_are_zero(block)};
    while (run.len < bytes.len) {
        struct span rest = {bytes.data + run.len, (size_t)(bytes.len - run.len)};
        block = first_block(rest, off + run.len, block_len);
        if (bytes_are_zero(block) != run.is_zero) {
            break;
        }
        run.len += block.len;
    }
    return run;
}

struct zero_run zero_run_find(struct span bytes, uint64_t off)
{
    return zero_run_find_blocks(bytes, off, ZERO_BLOCK_LEN);
}
