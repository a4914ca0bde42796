/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/codecs/zstd.h"

/* For contexts in memory of the caller's. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

bool zstd_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch)
{
    ZSTD_DCtx *context = ZSTD_initStaticDCtx(scratch, ZSTD_SCRATCH_LEN);
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
    return made_len == target_len;
}
