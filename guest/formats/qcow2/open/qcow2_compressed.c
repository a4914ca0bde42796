/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The length of a stream is known in sectors only: what is behind it in the last one is of no meaning. It makes exactly
 * one cluster.
 */
#include "guest/formats/qcow2/open/qcow2_compressed.h"

#include "guest/codecs/deflate.h"
#include "guest/codecs/zstd.h"

uint32_t qcow2_scratch_len(uint8_t compression_type)
{
    return compression_type == QCOW2_COMPRESSION_ZSTD ? ZSTD_SCRATCH_LEN : DEFLATE_SCRATCH_LEN;
}

bool qcow2_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                      void *scratch, struct error *error)
{
    bool is_zstd = qcow2_of(image)->header.compression_type == QCOW2_COMPRESSION_ZSTD;
    bool is_whole = is_zstd ? zstd_expand(stream, target, image->cluster_len, scratch)
                            : deflate_expand(stream, target, image->cluster_len, scratch);
    if (!is_whole) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the compressed cluster of offset %llu is damaged (its stream is at %llu)",
                         (unsigned long long)extent->cluster_voff, (unsigned long long)extent->file_off);
    }
    return true;
}
