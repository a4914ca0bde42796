/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, and the format's table. */
#include "guest/formats/qcow2/qcow2.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "guest/crypto/image_cipher.h"
#include "guest/formats/qcow2/change/qcow2_amend.h"
#include "guest/formats/qcow2/change/qcow2_change.h"
#include "guest/formats/qcow2/check/qcow2_check.h"
#include "guest/formats/qcow2/info/qcow2_describe.h"
#include "guest/formats/qcow2/info/qcow2_measure.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"
#include "guest/formats/qcow2/open/qcow2_bitmaps.h"
#include "guest/formats/qcow2/open/qcow2_compressed.h"
#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/formats/qcow2/open/qcow2_luks.h"
#include "guest/formats/qcow2/open/qcow2_map.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"
#include "guest/formats/qcow2/repair/qcow2_repair.h"

static int qcow2_probe(struct span head, struct span name)
{
    (void)name;
    return qcow2_header_probe(head) ? 100 : 0;
}

/* As in QEMU, before anything else is said of it. */
static bool check_not_corrupt(const struct image *image, const struct qcow2_header *header, struct error *error)
{
    bool is_corrupt = (header->incompatible_features & QCOW2_INCOMPATIBLE_CORRUPT) != 0;
    return !is_corrupt || image->purpose != IMAGE_TO_CHANGE ||
           error_set(error, ERROR_MALFORMED, NULL, "qcow2: Image is corrupt; cannot be opened read/write");
}

static bool read_header(struct image *image, struct qcow2_header *ret_header, struct error *error)
{
    uint8_t head[QCOW2_HEADER_READ_LEN];
    struct qcow2_header header;
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(qcow2_header_parse((struct span){head, sizeof(head)}, &header, error));
    RETURN_IF_FAILED(qcow2_features_check(image, &header, error));
    RETURN_IF_FAILED(qcow2_header_check(&header, image_purpose_is_check(image->purpose), error) &&
                     check_not_corrupt(image, &header, error));
    *ret_header = header;
    return true;
}

/* Where guest clusters are. To describe or check an image, its data file need not be there. */
static bool open_data_file(struct image *image, struct qcow2 *qcow2, struct error *error)
{
    const struct file_name *name = &qcow2->extensions.data_file_name;
    bool is_raw = (qcow2->header.autoclear_features & QCOW2_AUTOCLEAR_DATA_FILE_RAW) != 0;
    if (!qcow2_has_data_file(&qcow2->header)) {
        qcow2->data_file = image->file;
        return !is_raw || image->purpose == IMAGE_TO_DESCRIBE ||
               error_set(error, ERROR_MALFORMED, NULL, "data-file-raw requires a data file");
    }
    if (image->purpose == IMAGE_TO_DESCRIBE) {
        return true;
    }
    if (!name->is_set || name->len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "'data-file' is required for this image");
    }
    if (image_purpose_is_check(image->purpose)) {
        return true;
    }
    return image->environment->open_file(image->environment, (struct span){name->bytes, name->len}, image->file,
                                         IMAGE_FILE_DATA, &qcow2->data_file, error);
}

/* As QEMU does, all but info opens what is encrypted with its key. */
static bool open_encryption(struct image *image, const struct qcow2 *qcow2, struct error *error)
{
    struct luks_header luks;
    const struct qcow2_extensions *extensions = &qcow2->extensions;
    bool is_luks = qcow2->header.crypt_method == QCOW2_CRYPT_LUKS;
    if (qcow2->header.crypt_method == QCOW2_CRYPT_NONE) {
        return image_key_check_format(image, NULL, error);
    }
    RETURN_IF_FAILED(image_key_check_format(image, is_luks ? "luks" : "aes", error));
    image->is_encrypted = true;
    bool has_key = image->purpose != IMAGE_TO_DESCRIBE;
    if (!is_luks) {
        return !has_key || image_cipher_open_aes(image, error);
    }
    RETURN_IF_FAILED(!has_key || !extensions->has_crypto_header || image_key_check(&image->key, "encrypt.", error));
    RETURN_IF_FAILED(qcow2_luks_read(image, &luks, error));
    const struct luks_place place = {
        .file = image->file, .off = extensions->crypto_header_off, .len = extensions->crypto_header_len};
    return !has_key || image_cipher_open_luks(image, &luks, &place, "encrypt.", error);
}

static bool read_backing_name(struct image *image, const struct qcow2 *qcow2, struct error *error)
{
    const struct qcow2_header *header = &qcow2->header;
    struct file_name *name = &image->backing_name;
    if (header->backing_name_off == 0) {
        return true;
    }
    uint64_t len_max = min_u64(QCOW2_BACKING_NAME_LEN_MAX, header->cluster_len - header->backing_name_off);
    if (header->backing_name_len > len_max) {
        return error_set(error, ERROR_MALFORMED, NULL, "Backing file name too long");
    }
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, header->backing_name_off, name->bytes,
                                header->backing_name_len, error));
    /* As in QEMU, a NUL ends it, and an empty name is none. */
    name->len = (uint16_t)strnlen((const char *)name->bytes, header->backing_name_len);
    name->is_set = name->len > 0;
    memcpy(image->backing_format, qcow2->extensions.backing_format, sizeof(qcow2->extensions.backing_format));
    return true;
}

_Static_assert(QCOW2_BACKING_NAME_LEN_MAX <= FILE_NAME_LEN_MAX, "a backing file's name fits");
_Static_assert(QCOW2_BACKING_FORMAT_LEN_MAX < sizeof(((struct image *)NULL)->backing_format), "so does its format");
_Static_assert((1u << QCOW2_CLUSTER_BITS_MAX) <= FORMAT_CLUSTER_LEN_MAX, "decompress makes a cluster");

static void option_add(struct image_shard *shard, const char *name, const char *value)
{
    instar_FormatOption *option = &shard->options[shard->option_count++];
    *option = (instar_FormatOption){0};
    text_copy(option->name, sizeof(option->name), name);
    text_copy(option->value, sizeof(option->value), value);
}

static void option_add_number(struct image_shard *shard, const char *name, uint32_t number)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    option_add(shard, name, text);
}

/* Which part of an image it is, and what the others have to be like. */
static bool read_shard(struct image *image, struct qcow2 *qcow2, struct error *error)
{
    const struct qcow2_header *header = &qcow2->header;
    struct image_shard *shard = &qcow2->shard;
    if ((header->incompatible_features & QCOW2_INCOMPATIBLE_SHARD) == 0) {
        return true;
    }
    const uint64_t unexpected = QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT | QCOW2_INCOMPATIBLE_DATA_FILE;
    if (!qcow2->extensions.has_shard) {
        return error_set(error, ERROR_MALFORMED, NULL, "the header does not say which part of an image it is");
    }
    if (header->version < 3 || (header->incompatible_features & unexpected) != 0 || header->backing_name_off != 0 ||
        header->crypt_method != QCOW2_CRYPT_NONE || header->snapshot_count != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "the header has what no part of an image has");
    }
    shard->shard = qcow2->extensions.shard;
    option_add_number(shard, "cluster_size", header->cluster_len);
    option_add_number(shard, "refcount_bits", 1u << header->refcount_order);
    option_add(shard, "compression_type", header->compression_type == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib");
    option_add(shard, "extended_l2", qcow2_has_extended_l2(header) ? "on" : "off");
    option_add(shard, "lazy_refcounts",
               (header->compatible_features & QCOW2_COMPATIBLE_LAZY_REFCOUNTS) != 0 ? "on" : "off");
    image->shard = shard;
    return true;
}

/* In QEMU's order, so that a damaged image is refused for the same reason. */
static bool qcow2_open(struct image *image, struct error *error)
{
    struct qcow2 *qcow2 = arena_allocate(image->environment->arena, sizeof(*qcow2), _Alignof(struct qcow2));
    if (qcow2 == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the image");
    }
    struct qcow2_header *header = &qcow2->header;
    image->state = qcow2;
    RETURN_IF_FAILED(read_header(image, header, error));
    qcow2->l1 = (struct qcow2_l1){.off = header->l1_off, .entry_count = header->l1_entry_count};
    image->virtual_len = round_down(header->size, SECTOR_LEN);
    image->cluster_len = header->cluster_len;
    image->scratch_len = qcow2_scratch_len(header->compression_type);
    image->stream_kind = qcow2_stream_kind(header->compression_type);
    image->can_have_bitmaps = header->version >= 3;
    image->has_dirty_flag = true;
    image->is_dirty = (header->incompatible_features & QCOW2_INCOMPATIBLE_DIRTY) != 0;
    RETURN_IF_FAILED(qcow2_extensions_read(image, header, &qcow2->extensions, error));
    RETURN_IF_FAILED(read_shard(image, qcow2, error));
    RETURN_IF_FAILED(open_data_file(image, qcow2, error));
    RETURN_IF_FAILED(open_encryption(image, qcow2, error));
    RETURN_IF_FAILED(read_backing_name(image, qcow2, error));
    if (!image_purpose_is_check(image->purpose)) {
        RETURN_IF_FAILED(qcow2_snapshots_check(image, error));
    }
    return image->purpose == IMAGE_TO_REPAIR || qcow2_bitmaps_check(image, error);
}

const struct format qcow2_format = {
    .name = "qcow2",
    .takes_backing = true,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .map = qcow2_map,
    .table_at = qcow2_table_at,
    .decompress = qcow2_decompress,
    .decompress_counted = qcow2_decompress_counted,
    .describe = qcow2_describe,
    .check = qcow2_check,
    .repair = qcow2_repair,
    .select_snapshot = qcow2_select_snapshot,
    .measure = qcow2_measure,
    .has_shards = true,
    .create = qcow2_create,
    .bitmap_next = qcow2_image_bitmap_next,
    .bitmap_read = qcow2_image_bitmap_read,
    .open_target = qcow2_open_target,
    .resize = qcow2_resize,
    .change_snapshots = qcow2_change_snapshots,
    .change_bitmap = qcow2_change_bitmap,
    .amend = qcow2_amend,
};
