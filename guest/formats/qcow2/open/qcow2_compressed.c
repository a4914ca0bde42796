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

enum stream_kind qcow2_stream_kind(uint8_t compression_type)
{
    return compression_type == QCOW2_COMPRESSION_ZSTD ? STREAM_KIND_ZSTD : STREAM_KIND_DEFLATE;
}

bool qcow2_decompress_counted(const struct image *image, const struct extent *extent, struct span stream,
                              uint8_t *target, void *scratch, size_t *ret_stream_len, struct error *error)
{
    bool is_zstd = qcow2_of(image)->header.compression_type == QCOW2_COMPRESSION_ZSTD;
    bool is_whole = is_zstd ? zstd_expand_counted(stream, target, image->cluster_len, ret_stream_len, scratch)
                            : deflate_expand_counted(stream, target, image->cluster_len, ret_stream_len, scratch);
    if (!is_whole) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the compressed cluster of offset %llu is damaged (its stream is at %llu)",
                         (unsigned long long)extent->cluster_voff, (unsigned long long)extent->file_off);
    }
    return true;
}

bool qcow2_decompress(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                      void *scratch, struct error *error)
{
    size_t stream_len;
    return qcow2_decompress_counted(image, extent, stream, target, scratch, &stream_len, error);
}
