/* SPDX-License-Identifier: Apache-2.0 */
/* How clusters are compressed: by the image's one compression type. */
#include "guest/formats/qcow2/write/qcow2_compress.h"

#include "guest/codecs/deflate.h"
#include "guest/codecs/zstd.h"

static bool is_zstd(const struct qcow2_compression *compression)
{
    return compression->type == QCOW2_COMPRESSION_ZSTD;
}

static struct deflate_choice deflate_choice(const struct qcow2_compression *compression)
{
    return (struct deflate_choice){.level = compression->level, .large_window = compression->large_window};
}

static int default_level(const struct qcow2_compression *compression)
{
    if (is_zstd(compression)) {
        return ZSTD_LEVEL_DEFAULT;
    }
    return compression->large_window ? DEFLATE_LARGE_WINDOW_LEVEL_DEFAULT : DEFLATE_LEVEL_DEFAULT;
}

bool qcow2_compression_choose(const struct target_compression *wanted, enum qcow2_compression_type type,
                              uint32_t cluster_len, struct target *target, struct qcow2_compression *ret_compression,
                              struct error *error)
{
    struct qcow2_compression compression = {
        .type = type, .level = wanted->level, .large_window = wanted->window == TARGET_WINDOW_LARGE};
    int level_min = is_zstd(&compression) ? ZSTD_LEVEL_MIN : DEFLATE_LEVEL_MIN;
    int level_max = is_zstd(&compression) ? ZSTD_LEVEL_MAX : DEFLATE_LEVEL_MAX;
    if (wanted->window != TARGET_WINDOW_DEFAULT && is_zstd(&compression)) {
        return error_set(error, ERROR_USAGE, NULL, "a window is chosen for deflate (compression type zlib) only");
    }
    if (wanted->level == TARGET_LEVEL_DEFAULT) {
        compression.level = default_level(&compression);
    }
    RETURN_IF_FAILED(target_check_level(compression.level, level_min, level_max, error));
    struct deflate_choice choice = deflate_choice(&compression);
    size_t scratch_len = is_zstd(&compression) ? zstd_compress_scratch_len(compression.level, cluster_len)
                                               : deflate_compress_scratch_len(&choice, cluster_len);
    target->scratch_len = (uint32_t)scratch_len; /* some MiB */
    target->compress_len = cluster_len;
    /* Who asks for a level, or a window, wants streams that are like that. */
    bool is_usual = wanted->level == TARGET_LEVEL_DEFAULT && wanted->window == TARGET_WINDOW_DEFAULT;
    if (is_usual && !wanted->recompresses) {
        target->takes_streams = is_zstd(&compression) ? STREAM_KIND_ZSTD : STREAM_KIND_DEFLATE;
    }
    *ret_compression = compression;
    return true;
}

uint32_t qcow2_compress(const struct qcow2_compression *compression, struct span cluster, uint8_t *stream,
                        void *scratch)
{
    size_t len_max = cluster.len - 1; /* a stream that is not shorter is no gain */
    struct deflate_choice choice = deflate_choice(compression);
    size_t len;
    if (is_zstd(compression)) {
        len = zstd_compress(compression->level, cluster, stream, len_max, scratch);
    } else if (!deflate_compress(&choice, cluster, stream, len_max, scratch, &len)) {
        return TARGET_COMPRESS_FAILED;
    }
    return (uint32_t)len;
}
