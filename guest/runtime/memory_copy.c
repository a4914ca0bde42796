/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy for the many short copies that encoding messages and reading tables are made of: musl's takes about 30 cycles
 * to get going, whatever the length. Long ones are left to the processor.
 */
#include <stddef.h>
#include <stdint.h>

/* From here on `rep movsb` is at least as fast as a loop (processors with ERMS, that is all since 2013). */
#define LONG_LEN 512u

void *memory_copy(void *target, const void *source, size_t len);

/* Two blocks, from either end, which overlap when `len` is less than both: for `block` <= len <= 2 * block. */
#define COPY_ENDS(block)                                     \
    do {                                                     \
        uint8_t first[block];                                \
        uint8_t last[block];                                 \
        __builtin_memcpy(first, from, block);                \
        __builtin_memcpy(last, from + len - (block), block); \
        __builtin_memcpy(to, first, block);                  \
        __builtin_memcpy(to + len - (block), last, block);   \
    } while (0)

void *memory_copy(void *target, const void *source, size_t len)
{
    uint8_t *to = target;
    const uint8_t *from = source;
    if (len >= LONG_LEN) {
        void *at = target;
        __asm__ volatile("rep movsb" : "+D"(at), "+S"(source), "+c"(len) : : "memory");
    } else if (len > 32) {
        uint8_t block[32];
        uint8_t last[32];
        __builtin_memcpy(last, from + len - 32, 32);
        for (size_t off = 0; off < len - 32; off += 32) {
            __builtin_memcpy(block, from + off, 32);
            __builtin_memcpy(to + off, block, 32);
        }
        __builtin_memcpy(to + len - 32, last, 32);
    } else if (len >= 16) {
        COPY_ENDS(16);
    } else if (len >= 8) {
        COPY_ENDS(8);
    } else if (len >= 4) {
        COPY_ENDS(4);
    } else if (len >= 2) {
        COPY_ENDS(2);
    } else if (len == 1) {
        *to = *from;
    }
    return target;
}

#ifndef MEMORY_COPY_ONLY
/*
 * By aliases, so that the compiler does not take the function's body for what it implements. The second one is what
 * musl's memmove goes to when it can copy forwards: ranges may overlap then, the target first, which is all right
 * above.
 */
void *memcpy(void *restrict target, const void *restrict source, size_t len) __attribute__((alias("memory_copy")));
void *__memcpy_fwd(void *target, const void *source, size_t len);
void *__memcpy_fwd(void *target, const void *source, size_t len) __attribute__((alias("memory_copy")));
#endif
