/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdeflate takes memory for a decompressor from a function without context, one for the whole program. Ours gives out
 * the scratch memory of the call, under a lock: making a decompressor takes a fraction of a microsecond, so vCPUs
 * hardly ever wait. Nothing is freed.
 */
#include "guest/codecs/deflate.h"

#include <libdeflate.h>
#include <stdatomic.h>

static atomic_flag lock = ATOMIC_FLAG_INIT;
static void *next_memory; /* under the lock; NULL: nothing to give */

static void *give_memory(size_t len)
{
    void *memory = len <= DEFLATE_SCRATCH_LEN ? next_memory : NULL;
    next_memory = NULL;
    return memory;
}

static void take_memory(void *memory)
{
    (void)memory;
}

static struct libdeflate_decompressor *make_decompressor(void *scratch)
{
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) {
        __builtin_ia32_pause(); /* ends: whoever has the lock makes a decompressor and nothing else */
    }
    libdeflate_set_memory_allocator(give_memory, take_memory);
    next_memory = scratch;
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    atomic_flag_clear_explicit(&lock, memory_order_release);
    return decompressor;
}

bool deflate_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch)
{
    struct libdeflate_decompressor *decompressor = make_decompressor(scratch);
    size_t stream_len; /* asked for, so that what follows the stream is no error */
    return decompressor != NULL &&
           libdeflate_deflate_decompress_ex(decompressor, stream.data, stream.len, target, target_len, &stream_len,
                                            NULL) == LIBDEFLATE_SUCCESS;
}
