/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcmp for whole clusters: musl's looks at a byte at a time, which is a twentieth of the time in which a cluster is
 * compressed and looked at again.
 */
#include <stddef.h>
#include <stdint.h>

#define WORD_LEN sizeof(uint64_t)
#define BLOCK_LEN (4 * WORD_LEN)

int memory_compare(const void *left, const void *right, size_t len);

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    __builtin_memcpy(&word, bytes, sizeof(word));
    return word;
}

static int word_differs(const uint8_t *left, const uint8_t *right)
{
    return word_at(left) != word_at(right);
}

static int block_differs(const uint8_t *left, const uint8_t *right)
{
    uint64_t difference = 0;
    for (size_t off = 0; off < BLOCK_LEN; off += WORD_LEN) {
        difference |= word_at(left + off) ^ word_at(right + off);
    }
    return difference != 0;
}

int memory_compare(const void *left, const void *right, size_t len)
{
    const uint8_t *a = left;
    const uint8_t *b = right;
    size_t off = 0;
    while (len - off >= BLOCK_LEN && !block_differs(a + off, b + off)) {
        off += BLOCK_LEN;
    }
    while (len - off >= WORD_LEN && !word_differs(a + off, b + off)) {
        off += WORD_LEN;
    }
    for (; off < len; off++) {
        if (a[off] != b[off]) {
            return a[off] < b[off] ? -1 : 1;
        }
    }
    return 0;
}

#ifndef MEMORY_COMPARE_ONLY
/* By an alias, so that the compiler does not take the function's body for what it implements. */
int memcmp(const void *left, const void *right, size_t len) __attribute__((alias("memory_compare")));
#endif
