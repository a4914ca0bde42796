/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/md5.h"

#include <string.h>

#include "base/checked.h"
#include "base/endian.h"

#define BLOCK_LEN 64u
#define ROUNDS 64u

/* floor(2^32 * |sin(i + 1)|) (RFC 1321, 3.4). */
static const uint32_t sines[ROUNDS] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
static const uint8_t shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

static uint32_t word_at(const uint8_t block[BLOCK_LEN], uint32_t index)
{
    struct le32 word;
    memcpy(&word, block + (size_t)index * sizeof(word), sizeof(word));
    return le32_get(word);
}

/* The function of a step's round, and in *ret_index which word of the block it takes. */
static uint32_t mix(uint32_t step, uint32_t b, uint32_t c, uint32_t d, uint32_t *ret_index)
{
    switch (step / 16) {
    case 0:
        *ret_index = step;
        return (b & c) | (~b & d);
    case 1:
        *ret_index = (5 * step + 1) % 16;
        return (d & b) | (~d & c);
    case 2:
        *ret_index = (3 * step + 5) % 16;
        return b ^ c ^ d;
    default:
        *ret_index = 7 * step % 16;
        return c ^ (b | ~d);
    }
}

static void add_block(struct md5 *md5, const uint8_t block[BLOCK_LEN])
{
    uint32_t a = md5->state[0], b = md5->state[1], c = md5->state[2], d = md5->state[3];
    for (uint32_t step = 0; step < ROUNDS; step++) {
        uint32_t index;
        uint32_t sum = a + mix(step, b, c, d, &index) + sines[step] + word_at(block, index);
        uint32_t shift = shifts[step / 16][step % 4];
        a = d;
        d = c;
        c = b;
        b += sum << shift | sum >> (32 - shift);
    }
    md5->state[0] += a;
    md5->state[1] += b;
    md5->state[2] += c;
    md5->state[3] += d;
}

void md5_init(struct md5 *md5)
{
    *md5 = (struct md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

void md5_add(struct md5 *md5, struct span bytes)
{
    while (bytes.len > 0) { /* ends: every round takes a byte at least */
        size_t used = md5->len % BLOCK_LEN;
        size_t len = min_u64(bytes.len, BLOCK_LEN - used);
        memcpy(md5->block + used, bytes.data, len);
        md5->len += len;
        if (md5->len % BLOCK_LEN == 0) {
            add_block(md5, md5->block);
        }
        bytes = (struct span){bytes.data + len, bytes.len - len};
    }
}

void md5_end(struct md5 *md5, uint8_t ret_digest[MD5_LEN])
{
    static const uint8_t padding[BLOCK_LEN] = {0x80};
    uint64_t bit_len = md5->len * 8;
    size_t used = md5->len % BLOCK_LEN;
    uint8_t tail[8];
    md5_add(md5, (struct span){padding, (used < 56 ? 56 : 120) - used});
    for (uint32_t i = 0; i < sizeof(tail); i++) {
        tail[i] = (uint8_t)(bit_len >> 8 * i);
    }
    md5_add(md5, (struct span){tail, sizeof(tail)});
    for (uint32_t i = 0; i < MD5_LEN; i++) {
        ret_digest[i] = (uint8_t)(md5->state[i / 4] >> 8 * (i % 4));
    }
}
