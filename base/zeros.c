/* SPDX-License-Identifier: Apache-2.0 */
#include "base/zeros.h"

#include <emmintrin.h>

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
