/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha256.h"

#include <string.h>

#include "base/checked.h"

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_right(uint32_t word, unsigned int bits)
{
    return word >> bits | word << (32 - bits);
}

static uint32_t word_read(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void schedule_fill(uint32_t schedule[64], const uint8_t *block)
{
    for (unsigned int i = 0; i < 16; i++) {
        schedule[i] = word_read(&block[i * sizeof(uint32_t)]);
    }
    for (unsigned int i = 16; i < 64; i++) {
        uint32_t early = schedule[i - 15];
        uint32_t late = schedule[i - 2];
        uint32_t sigma0 = rotate_right(early, 7) ^ rotate_right(early, 18) ^ early >> 3;
        uint32_t sigma1 = rotate_right(late, 17) ^ rotate_right(late, 19) ^ late >> 10;
        schedule[i] = schedule[i - 16] + sigma0 + schedule[i - 7] + sigma1;
    }
}

/* 6.2.2. */
static void block_take(struct sha256 *hash, const uint8_t *block)
{
    uint32_t schedule[64];
    uint32_t v[8];
    schedule_fill(schedule, block);
    memcpy(v, hash->state, sizeof(v));
    for (unsigned int i = 0; i < 64; i++) {
        uint32_t sum1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
        uint32_t chosen = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t first = v[7] + sum1 + chosen + round_constants[i] + schedule[i];
        uint32_t sum0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(&v[1], &v[0], 7 * sizeof(v[0]));
        v[4] += first;
        v[0] = first + sum0 + majority;
    }
    for (unsigned int i = 0; i < 8; i++) {
        hash->state[i] += v[i];
    }
}

void sha256_init(struct sha256 *hash)
{
    *hash = (struct sha256){
        .state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *hash, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    while (len > 0) { /* each round takes at least a byte */
        size_t filled = hash->len % SHA256_BLOCK_LEN;
        size_t taken = min_u64(len, SHA256_BLOCK_LEN - filled);
        if (taken == SHA256_BLOCK_LEN) {
            block_take(hash, bytes);
        } else {
            memcpy(&hash->block[filled], bytes, taken);
            if (filled + taken == SHA256_BLOCK_LEN) {
                block_take(hash, hash->block);
            }
        }
        hash->len += taken;
        bytes += taken;
        len -= taken;
    }
}

void sha256_end(struct sha256 *hash, uint8_t ret_digest[SHA256_LEN])
{
    static const uint8_t padding[SHA256_BLOCK_LEN] = {0x80};
    uint64_t bit_count = hash->len * 8;
    uint8_t length[8];
    for (unsigned int i = 0; i < sizeof(length); i++) {
        length[i] = (uint8_t)(bit_count >> (56 - 8 * i));
    }
    size_t filled = hash->len % SHA256_BLOCK_LEN;
    size_t padding_len = (filled < 56 ? 56 : 120) - filled;
    sha256_add(hash, padding, padding_len);
    sha256_add(hash, length, sizeof(length));
    for (unsigned int i = 0; i < SHA256_LEN; i++) {
        ret_digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}
