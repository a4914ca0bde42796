/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdeflate takes memory for a compressor or decompressor from a function without context, one for the whole program.
 * Ours gives out the scratch memory of the call, under a lock: making a decompressor takes a fraction of a microsecond,
 * and a compressor is made once for each vCPU, so vCPUs hardly ever wait. Nothing is freed.
 */
#include "guest/codecs/deflate.h"

#include <libdeflate.h>
#include <stdatomic.h>
#include <string.h>

#include "base/endian.h"
#include "guest/codecs/deflate_encode.h"

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

bool deflate_expand_counted(struct span stream, uint8_t *target, size_t target_len, size_t *ret_stream_len,
                            void *scratch)
{
    struct libdeflate_decompressor *decompressor = make_decompressor(scratch);
    return decompressor != NULL &&
           libdeflate_deflate_decompress_ex(decompressor, stream.data, stream.len, target, target_len, ret_stream_len,
                                            NULL) == LIBDEFLATE_SUCCESS;
}

bool deflate_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch)
{
    size_t stream_len; /* asked for, so that what follows the stream is no error */
    return deflate_expand_counted(stream, target, target_len, &stream_len, scratch);
}

bool deflate_expand_zlib(struct span stream, uint8_t *target, size_t target_len, void *scratch)
{
    struct libdeflate_decompressor *decompressor = make_decompressor(scratch);
    size_t stream_len; /* as above */
    return decompressor != NULL && libdeflate_zlib_decompress_ex(decompressor, stream.data, stream.len, target,
                                                                 target_len, &stream_len, NULL) == LIBDEFLATE_SUCCESS;
}

bool deflate_expand_zlib_some(struct span stream, uint8_t *target, size_t target_len, size_t *ret_len, void *scratch)
{
    struct libdeflate_decompressor *decompressor = make_decompressor(scratch);
    size_t stream_len; /* as above */
    return decompressor != NULL &&
           libdeflate_zlib_decompress_ex(decompressor, stream.data, stream.len, target, target_len, &stream_len,
                                         ret_len) == LIBDEFLATE_SUCCESS;
}

/* What is at the start of the scratch memory of a vCPU; all zeros before the first call. */
struct deflate_scratch {
    struct libdeflate_compressor *compressor; /* of the large window: made, in the memory behind this */
    /* With the small window: memory to expand, the bytes that come out, and the encoder's. */
    uint8_t memory[] __attribute__((aligned(64)));
};

static size_t expanded_room(size_t bytes_len)
{
    return (bytes_len + 63) / 64 * 64;
}

size_t deflate_compress_scratch_len(const struct deflate_choice *choice, size_t bytes_len)
{
    if (!choice->large_window) {
        return sizeof(struct deflate_scratch) + DEFLATE_SCRATCH_LEN + expanded_room(bytes_len) +
               deflate_encode_scratch_len();
    }
    lock_memory(NULL, 0);
    (void)libdeflate_alloc_compressor(choice->level); /* fails: it only says how much it would take */
    size_t len = asked_len;
    unlock_memory();
    return sizeof(struct deflate_scratch) + len;
}

/* With our own encoder, whose streams are not believed before another program's decoder has read them. */
static bool compress_small_window(int level, struct span bytes, uint8_t *target, size_t target_len, uint8_t *memory,
                                  size_t *ret_len)
{
    if (level == DEFLATE_LEVEL_MIN) {
        *ret_len = 0;
        return true;
    }
    uint8_t *expanded = memory + DEFLATE_SCRATCH_LEN;
    size_t len = deflate_encode(level, bytes, target, target_len, expanded + expanded_room(bytes.len));
    if (len > 0 && (!deflate_expand((struct span){target, len}, expanded, bytes.len, memory) ||
                    memcmp(expanded, bytes.data, bytes.len) != 0)) {
        return false;
    }
    *ret_len = len;
    return true;
}

bool deflate_compress(const struct deflate_choice *choice, struct span bytes, uint8_t *target, size_t target_len,
                      void *scratch, size_t *ret_len)
{
    struct deflate_scratch *own = scratch;
    if (!choice->large_window) {
        return compress_small_window(choice->level, bytes, target, target_len, own->memory, ret_len);
    }
    if (own->compressor == NULL) {
        lock_memory(own->memory, SIZE_MAX);
        own->compressor = libdeflate_alloc_compressor(choice->level);
        unlock_memory();
    }
    if (own->compressor == NULL) {
        return false;
    }
    *ret_len = libdeflate_deflate_compress(own->compressor, bytes.data, bytes.len, target, target_len);
    return true;
}

void deflate_zlib_head(uint8_t ret_head[DEFLATE_ZLIB_HEAD_LEN])
{
    /* Deflate with a window of 32 KiB, which is right for smaller ones, too; the usual level. A multiple of 31. */
    ret_head[0] = 0x78;
    ret_head[1] = 0x9c;
}

void deflate_zlib_tail(struct span bytes, uint8_t ret_tail[DEFLATE_ZLIB_TAIL_LEN])
{
    struct be32 sum = be32_make(libdeflate_adler32(1, bytes.data, bytes.len));
    memcpy(ret_tail, &sum, sizeof(sum));
}

bool deflate_compress_zlib(const struct deflate_choice *choice, struct span bytes, uint8_t *target, size_t target_len,
                           void *scratch, size_t *ret_len)
{
    const size_t around_len = DEFLATE_ZLIB_HEAD_LEN + DEFLATE_ZLIB_TAIL_LEN;
    size_t len = 0;
    if (target_len > around_len &&
        !deflate_compress(choice, bytes, target + DEFLATE_ZLIB_HEAD_LEN, target_len - around_len, scratch, &len)) {
        return false;
    }
    *ret_len = 0;
    if (len > 0) {
        deflate_zlib_head(target);
        deflate_zlib_tail(bytes, target + DEFLATE_ZLIB_HEAD_LEN + len);
        *ret_len = len + around_len;
    }
    return true;
}
