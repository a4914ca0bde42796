/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/zstd.h"

/* For contexts in memory of the caller's. */
#define ZSTD_STATIC_LINKING_ONLY
/* ZSTD_copyDCtx is one that may go. */
#define ZSTD_DISABLE_DEPRECATE_WARNINGS
#include <stdatomic.h>
#include <zstd.h>

/*
 * Making a context asks the processor what it can do, and in a virtual machine that instruction ends in a hypervisor:
 * as long as a third of a cluster. So it is made once, and copied, which is some 30 KiB.
 */
static uint8_t made[ZSTD_SCRATCH_LEN] __attribute__((aligned(64)));
static const ZSTD_DCtx *_Atomic template;
static atomic_flag lock = ATOMIC_FLAG_INIT;

static const ZSTD_DCtx *make_template(void)
{
    const ZSTD_DCtx *context = atomic_load_explicit(&template, memory_order_acquire);
    if (context != NULL) {
        return context;
    }
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) {
        __builtin_ia32_pause(); /* ends: whoever has the lock makes a context and nothing else */
    }
    context = atomic_load_explicit(&template, memory_order_relaxed);
    if (context == NULL) {
        context = ZSTD_initStaticDCtx(made, sizeof(made));
        atomic_store_explicit(&template, context, memory_order_release);
    }
    atomic_flag_clear_explicit(&lock, memory_order_release);
    return context;
}

static ZSTD_DCtx *make_context(void *scratch)
{
    const ZSTD_DCtx *source = make_template();
    if (source == NULL) {
        return NULL;
    }
    ZSTD_DCtx *context = scratch;
    ZSTD_copyDCtx(context, source);
    return context;
}

bool zstd_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch)
{
    size_t stream_len;
    return zstd_expand_counted(stream, target, target_len, &stream_len, scratch);
}

bool zstd_expand_counted(struct span stream, uint8_t *target, size_t target_len, size_t *ret_stream_len, void *scratch)
{
    ZSTD_DCtx *context = make_context(scratch);
    size_t made_len = 0;
    size_t pos = 0;
    if (context == NULL) {
        return false;
    }
    while (made_len < target_len && pos < stream.len) { /* ends: a frame is not empty */
        size_t frame_len = ZSTD_findFrameCompressedSize(stream.data + pos, stream.len - pos);
        if (ZSTD_isError(frame_len) || frame_len == 0) {
            return false;
        }
        size_t len =
            ZSTD_decompressDCtx(context, target + made_len, target_len - made_len, stream.data + pos, frame_len);
        if (ZSTD_isError(len)) {
            return false;
        }
        made_len += len;
        pos += frame_len;
    }
    *ret_stream_len = pos;
    return made_len == target_len;
}

/* At the start of the scratch memory of a vCPU; all zeros before the first call. */
struct zstd_scratch {
    ZSTD_CCtx *context; /* made, in the memory behind this */
    uint8_t memory[] __attribute__((aligned(64)));
};

size_t zstd_compress_scratch_len(int level, size_t bytes_len)
{
    ZSTD_compressionParameters parameters = ZSTD_getCParams(level, bytes_len, 0);
    return sizeof(struct zstd_scratch) + ZSTD_estimateCCtxSize_usingCParams(parameters);
}

size_t zstd_compress(int level, struct span bytes, uint8_t *target, size_t target_len, void *scratch)
{
    struct zstd_scratch *own = scratch;
    if (own->context == NULL) {
        size_t memory_len = zstd_compress_scratch_len(level, bytes.len) - sizeof(*own);
        own->context = ZSTD_initStaticCCtx(own->memory, memory_len);
        if (own->context == NULL) {
            return 0;
        }
    }
    size_t len = ZSTD_compressCCtx(own->context, target, target_len, bytes.data, bytes.len, level);
    return ZSTD_isError(len) ? 0 : len;
}
