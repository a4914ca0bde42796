/* SPDX-License-Identifier: Apache-2.0 */
/* How clusters of a new image are compressed: by the image's one compression type. */
#include "guest/codecs/deflate.h"
#include "guest/codecs/zstd.h"
#include "guest/formats/qcow2/qcow2_writer.h"

static bool is_zstd(const struct qcow2_writer *writer)
{
    return writer->options.compression == QCOW2_COMPRESSION_ZSTD;
}

static struct deflate_choice deflate_choice(const struct qcow2_writer *writer)
{
    return (struct deflate_choice){.level = writer->compression_level, .small_window = writer->small_window};
}

static int default_level(const struct qcow2_writer *writer)
{
    if (is_zstd(writer)) {
        return ZSTD_LEVEL_DEFAULT;
    }
    return writer->small_window ? DEFLATE_SMALL_WINDOW_LEVEL_DEFAULT : DEFLATE_LEVEL_DEFAULT;
}

bool qcow2_writer_compress_init(struct qcow2_writer *writer, const struct target_setup *setup, struct error *error)
{
    int level_min = is_zstd(writer) ? ZSTD_LEVEL_MIN : DEFLATE_LEVEL_MIN;
    int level_max = is_zstd(writer) ? ZSTD_LEVEL_MAX : DEFLATE_LEVEL_MAX;
    if (!setup->compresses) {
        return true;
    }
    if (setup->small_window && is_zstd(writer)) {
        return error_set(error, ERROR_USAGE, NULL, "a small window is for deflate (compression type zlib) only");
    }
    writer->small_window = setup->small_window;
    writer->compression_level = setup->compression_level;
    if (setup->compression_level == TARGET_LEVEL_DEFAULT) {
        writer->compression_level = default_level(writer);
    }
    if (writer->compression_level < level_min || writer->compression_level > level_max) {
        return error_set(error, ERROR_USAGE, NULL, "compression level %d: there are %d to %d",
                         writer->compression_level, level_min, level_max);
    }
    struct deflate_choice choice = deflate_choice(writer);
    size_t scratch_len = is_zstd(writer) ? zstd_compress_scratch_len(writer->compression_level, writer->cluster_len)
                                         : deflate_compress_scratch_len(&choice);
    writer->target.scratch_len = (uint32_t)scratch_len; /* some MiB */
    writer->target.compress_len = writer->cluster_len;
    return true;
}

uint32_t qcow2_writer_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch)
{
    const struct qcow2_writer *writer = (const struct qcow2_writer *)target;
    size_t len_max = cluster.len - 1; /* a stream that is not shorter is no gain */
    struct deflate_choice choice = deflate_choice(writer);
    size_t len = is_zstd(writer) ? zstd_compress(writer->compression_level, cluster, stream, len_max, scratch)
                                 : deflate_compress(&choice, cluster, stream, len_max, scratch);
    return (uint32_t)len;
}
