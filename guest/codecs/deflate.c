/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdeflate takes memory for a compressor or decompressor from a function without context, one for the whole program.
 * Ours gives out the scratch memory of the call, under a lock: making a decompressor takes a fraction of a microsecond,
 * and a compressor is made once for each vCPU, so vCPUs hardly ever wait. Nothing is freed.
 *
 * zlib is for the small window only, which libdeflate does not have.
 */
#include "guest/codecs/deflate.h"

#include <libdeflate.h>
#include <stdatomic.h>
#include <string.h>
#include <zlib.h>

static atomic_flag lock = ATOMIC_FLAG_INIT;
/* Under the lock. */
static void *next_memory; /* NULL: nothing to give */
static size_t next_memory_len;
static size_t asked_len; /* the last time */

static void *give_memory(size_t len)
{
    void *memory = len <= next_memory_len ? next_memory : NULL;
    asked_len = len;
    next_memory = NULL;
    return memory;
}

static void take_memory(void *memory)
{
    (void)memory;
}

static void lock_memory(void *memory, size_t len)
{
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) {
        __builtin_ia32_pause(); /* ends: whoever has the lock makes one object and nothing else */
    }
    libdeflate_set_memory_allocator(give_memory, take_memory);
    next_memory = memory;
    next_memory_len = len;
}

static void unlock_memory(void)
{
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static struct libdeflate_decompressor *make_decompressor(void *scratch)
{
    lock_memory(scratch, DEFLATE_SCRATCH_LEN);
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    unlock_memory();
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

/* What qemu uses, and what zlib's deflateInit2 needs with it: some 280 KiB. */
#define SMALL_WINDOW_BITS 12
#define SMALL_WINDOW_MEMORY_LEVEL 9
#define SMALL_WINDOW_LEN (320u << 10)
#define ZLIB_LEVEL_MAX 9

/* What is at the start of the scratch memory of a vCPU; all zeros before the first call. */
struct deflate_scratch {
    struct libdeflate_compressor *compressor; /* made, in the memory behind this */
    z_stream zlib;                            /* likewise, when state is not NULL */
    size_t zlib_used_len;
    uint8_t memory[] __attribute__((aligned(64)));
};

size_t deflate_compress_scratch_len(const struct deflate_choice *choice)
{
    if (choice->small_window) {
        return sizeof(struct deflate_scratch) + SMALL_WINDOW_LEN;
    }
    lock_memory(NULL, 0);
    (void)libdeflate_alloc_compressor(choice->level); /* fails: it only says how much it would take */
    size_t len = asked_len;
    unlock_memory();
    return sizeof(struct deflate_scratch) + len;
}

static void *zlib_allocate(void *context, unsigned int count, unsigned int len)
{
    struct deflate_scratch *scratch = context;
    size_t all_len = ((size_t)count * len + 15) / 16 * 16;
    if (all_len > SMALL_WINDOW_LEN - scratch->zlib_used_len) {
        return NULL;
    }
    void *memory = scratch->memory + scratch->zlib_used_len;
    scratch->zlib_used_len += all_len;
    return memory;
}

static void zlib_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

static size_t compress_small_window(struct span bytes, uint8_t *target, size_t target_len, int level,
                                    struct deflate_scratch *scratch)
{
    z_stream *zlib = &scratch->zlib;
    if (zlib->state == NULL) {
        zlib->opaque = scratch;
        zlib->zalloc = zlib_allocate;
        zlib->zfree = zlib_free;
        if (deflateInit2(zlib, level > ZLIB_LEVEL_MAX ? ZLIB_LEVEL_MAX : level, Z_DEFLATED, -SMALL_WINDOW_BITS,
                         SMALL_WINDOW_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
            return 0;
        }
    } else if (deflateReset(zlib) != Z_OK) {
        return 0;
    }
    zlib->next_in = (uint8_t *)(uintptr_t)bytes.data; /* which zlib only reads */
    zlib->avail_in = (uInt)bytes.len;
    zlib->next_out = target;
    zlib->avail_out = (uInt)target_len;
    return deflate(zlib, Z_FINISH) == Z_STREAM_END ? target_len - zlib->avail_out : 0;
}

size_t deflate_compress(const struct deflate_choice *choice, struct span bytes, uint8_t *target, size_t target_len,
                        void *scratch)
{
    struct deflate_scratch *own = scratch;
    if (choice->small_window) {
        return compress_small_window(bytes, target, target_len, choice->level, own);
    }
    if (own->compressor == NULL) {
        lock_memory(own->memory, SIZE_MAX);
        own->compressor = libdeflate_alloc_compressor(choice->level);
        unlock_memory();
    }
    return own->compressor == NULL
               ? 0
               : libdeflate_deflate_compress(own->compressor, bytes.data, bytes.len, target, target_len);
}
