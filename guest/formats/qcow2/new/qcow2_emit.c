/* SPDX-License-Identifier: Apache-2.0 */
/* The first cluster of a new image: header, extensions, the name of the backing file (qcow2, "General"). */
#include <string.h>

#include "base/endian.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"
#include "guest/formats/qcow2/open/qcow2_extensions.h"

/* Section "Feature name table". */
struct feature_name_disk {
    uint8_t type; /* 0 incompatible, 1 compatible, 2 autoclear */
    uint8_t bit;
    char name[46];
};

_Static_assert(sizeof(struct feature_name_disk) == 48, "an entry of the feature name table");

/* So that a program that knows less can tell its user what it is that it does not know. */
static const struct feature_name_disk feature_names[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"},
};

/* By this name it is refused: it always has room, as a part has no backing file. */
static const struct feature_name_disk shard_name = {0, QCOW2_INCOMPATIBLE_SHARD_BIT,
                                                    "part of an image, for instar convert --join"};

struct emission {
    uint8_t *cluster;
    uint32_t cluster_len;
    uint32_t len; /* bytes so far */
    bool is_too_long;
};

static void put(struct emission *emission, const void *bytes, uint32_t len)
{
    if (len > emission->cluster_len - emission->len) {
        emission->is_too_long = true;
        return;
    }
    if (len > 0) { /* an extension without data has none to point to */
        memcpy(emission->cluster + emission->len, bytes, len);
    }
    emission->len += len;
}

/* An extension's data is padded to 8 bytes. */
static void put_extension(struct emission *emission, uint32_t type, const void *data, uint32_t len)
{
    static const uint8_t padding[8];
    struct be32 head[2] = {be32_make(type), be32_make(len)};
    put(emission, head, sizeof(head));
    put(emission, data, len);
    put(emission, padding, (8 - len % 8) % 8);
}

static uint64_t incompatible_features(const struct qcow2_writer *writer)
{
    uint64_t features = 0;
    if (writer->data_file != writer->target.file) {
        features |= QCOW2_INCOMPATIBLE_DATA_FILE;
    }
    if (writer->options.compression != QCOW2_COMPRESSION_DEFLATE) {
        features |= QCOW2_INCOMPATIBLE_COMPRESSION;
    }
    if (writer->options.has_extended_l2) {
        features |= QCOW2_INCOMPATIBLE_EXTENDED_L2;
    }
    if (writer->shard != NULL) {
        features |= QCOW2_INCOMPATIBLE_SHARD;
    }
    return features;
}

static uint64_t autoclear_features(const struct qcow2_writer *writer)
{
    return (writer->options.is_data_file_raw ? QCOW2_AUTOCLEAR_DATA_FILE_RAW : 0) |
           (writer->bitmaps.count > 0 ? QCOW2_AUTOCLEAR_BITMAPS : 0);
}

static struct qcow2_header_disk header_make(const struct qcow2_writer *writer, const struct qcow2_new_header *last)
{
    const struct qcow2_options *options = &writer->options;
    struct qcow2_header_disk header = {
        .magic = be32_make(QCOW2_MAGIC),
        .version = be32_make(options->version),
        .cluster_bits = be32_make(options->cluster_bits),
        .size = be64_make(writer->target.virtual_len),
        .crypt_method = be32_make(writer->cipher != NULL ? QCOW2_CRYPT_LUKS : QCOW2_CRYPT_NONE),
        .l1_size = be32_make((uint32_t)writer->l1_entry_count),
        .l1_table_offset = be64_make(last->l1_off),
        .refcount_table_offset = be64_make(last->refcount_table_off),
        .refcount_table_clusters = be32_make((uint32_t)last->refcount_table_clusters),
        .incompatible_features = be64_make(incompatible_features(writer)),
        .compatible_features = be64_make(options->has_lazy_refcounts ? QCOW2_COMPATIBLE_LAZY_REFCOUNTS : 0),
        .autoclear_features = be64_make(autoclear_features(writer)),
        .refcount_order = be32_make(options->refcount_order),
        .header_length = be32_make(QCOW2_HEADER_READ_LEN),
        .compression_type = (uint8_t)options->compression,
    };
    return header;
}

static void put_shard(struct emission *emission, const struct shard *shard)
{
    struct qcow2_shard_disk disk = {
        .number = be32_make(shard->number),
        .count = be32_make(shard->count),
        .sparse_len = be32_make(shard->sparse_len),
        .flags = be32_make(shard->is_compressed ? QCOW2_SHARD_COMPRESSED : 0),
    };
    memcpy(disk.source, shard->source, sizeof(disk.source));
    put_extension(emission, QCOW2_EXTENSION_SHARD, &disk, sizeof(disk));
    put_extension(emission, QCOW2_EXTENSION_FEATURE_NAMES, &shard_name, sizeof(shard_name));
}

static void put_extensions(struct emission *emission, const struct qcow2_writer *writer)
{
    if (writer->data_name.is_set) {
        put_extension(emission, QCOW2_EXTENSION_DATA_FILE, writer->data_name.bytes, writer->data_name.len);
    }
    if (writer->backing_format[0] != '\0') {
        put_extension(emission, QCOW2_EXTENSION_BACKING_FORMAT, writer->backing_format,
                      (uint32_t)strnlen(writer->backing_format, sizeof(writer->backing_format)));
    }
    if (writer->cipher != NULL) {
        struct be64 place[2] = {be64_make(writer->crypto_off), be64_make(writer->crypto_len)};
        put_extension(emission, QCOW2_EXTENSION_CRYPTO_HEADER, place, sizeof(place));
    }
    if (writer->bitmaps.count > 0) {
        struct qcow2_bitmaps_extension_disk bitmaps = {
            .nb_bitmaps = be32_make(writer->bitmaps.count),
            .directory_size = be64_make(writer->bitmaps.directory_len),
            .directory_offset = be64_make(writer->bitmaps.store.directory_off),
        };
        put_extension(emission, QCOW2_EXTENSION_BITMAPS, &bitmaps, sizeof(bitmaps));
    }
    if (writer->shard != NULL) {
        put_shard(emission, writer->shard);
        put_extension(emission, QCOW2_EXTENSION_END, NULL, 0);
        return;
    }
    /* Names are a courtesy: a small cluster may have no room for them and a backing file's. */
    uint32_t names_room = emission->cluster_len - emission->len;
    if (writer->options.version >= 3 && names_room >= sizeof(feature_names) + 16u + writer->backing_name.len) {
        put_extension(emission, QCOW2_EXTENSION_FEATURE_NAMES, feature_names, sizeof(feature_names));
    }
    put_extension(emission, QCOW2_EXTENSION_END, NULL, 0);
}

bool qcow2_header_emit(const struct qcow2_writer *writer, const struct qcow2_new_header *last, uint8_t *ret_cluster,
                       struct error *error)
{
    struct emission emission = {.cluster = ret_cluster, .cluster_len = writer->cluster_len};
    struct qcow2_header_disk header = header_make(writer, last);
    emission.len = writer->options.version >= 3 ? QCOW2_HEADER_READ_LEN : QCOW2_HEADER_LEN_V2;
    put_extensions(&emission, writer);
    if (writer->backing_name.is_set) {
        header.backing_file_offset = be64_make(emission.len);
        header.backing_file_size = be32_make(writer->backing_name.len);
        put(&emission, writer->backing_name.bytes, writer->backing_name.len);
    }
    if (emission.is_too_long) {
        return error_set(error, ERROR_USAGE, writer->target.file->name,
                         "the backing file's name is too long for clusters of %u bytes", writer->cluster_len);
    }
    memcpy(ret_cluster, &header, writer->options.version >= 3 ? QCOW2_HEADER_READ_LEN : QCOW2_HEADER_LEN_V2);
    return true;
}
