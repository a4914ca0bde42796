/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/difference.h"

#include <emmintrin.h>
#include <stdbool.h>

#define STEP_LEN 64u

static __m128i load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

static __m128i difference_of(const uint8_t *a, const uint8_t *b)
{
    return _mm_xor_si128(load(a), load(b));
}

static bool is_zero(__m128i first, __m128i second, __m128i third, __m128i fourth)
{
    __m128i all = _mm_or_si128(_mm_or_si128(first, second), _mm_or_si128(third, fourth));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_setzero_si128())) == 0xffff;
}

uint64_t difference_find(const uint8_t *a, const uint8_t *b, uint64_t len)
{
    uint64_t off = 0;
    for (; len - off >= STEP_LEN; off += STEP_LEN) {
        const uint8_t *x = a + off;
        const uint8_t *y = b + off;
        if (!is_zero(difference_of(x, y), difference_of(x + 16, y + 16), difference_of(x + 32, y + 32),
                     difference_of(x + 48, y + 48))) {
            break;
        }
    }
    while (off < len && a[off] == b[off]) {
        off++;
    }
    return off;
}

uint64_t difference_from_zero(const uint8_t *bytes, uint64_t len)
{
    uint64_t off = 0;
    for (; len - off >= STEP_LEN; off += STEP_LEN) {
        const uint8_t *x = bytes + off;
        if (!is_zero(load(x), load(x + 16), load(x + 32), load(x + 48))) {
            break;
        }
    }
    while (off < len && bytes[off] == 0) {
        off++;
    }
    return off;
}
