/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New images, as QEMU lays them out: header, backing file's name, L1 table; then clusters, with each L2 table before
 * its own. Streams of compressed clusters begin at whole sectors.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/codecs/deflate.h"
#include "guest/crypto/image_cipher.h"
#include "guest/formats/qcow/qcow.h"
#include "guest/formats/qcow/qcow_header.h"
#include "guest/image/option_values.h"
#include "guest/image/write/two_level_writer.h"

/* Small clusters where the backing file has the rest of them, as QEMU chooses them: 512 bytes, 4096 entries. */
#define CLUSTER_BITS 12u
#define L2_BITS 9u
#define CLUSTER_BITS_BACKED 9u
#define L2_BITS_BACKED 12u
#define ENTRY_LEN 8u
/* Header and name, in whole sectors. */
#define HEAD_LEN_MAX (QCOW_HEADER_LEN + FILE_NAME_LEN_MAX + QCOW_SECTOR_LEN)

struct qcow_writer {
    struct block_writer blocks; /* first */
    struct two_level_writer tables;
    struct qcow_header header;
    struct file_name backing_name;
    struct deflate_choice deflate;
};

static struct qcow_writer *writer_of(struct block_writer *blocks)
{
    return (struct qcow_writer *)blocks;
}

static bool qcow_place(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct qcow_writer *writer = writer_of(blocks);
    uint64_t len = 1ull << writer->header.cluster_bits;
    return two_level_writer_select(&writer->tables, block, error) &&
           block_writer_append(blocks, len, len, false, ret_off, error) &&
           two_level_writer_set(&writer->tables, block, *ret_off, error);
}

static bool qcow_end_tables(struct block_writer *blocks, struct error *error)
{
    return two_level_writer_end(&writer_of(blocks)->tables, error);
}

static bool qcow_write_header(struct block_writer *blocks, struct error *error)
{
    struct qcow_writer *writer = writer_of(blocks);
    const struct qcow_header *header = &writer->header;
    uint8_t bytes[HEAD_LEN_MAX] = {0};
    uint64_t len = round_up(header->l1_off, QCOW_SECTOR_LEN);
    if (header->l1_off % QCOW_SECTOR_LEN != 0) { /* the L1 table begins in the last sector */
        memcpy(bytes + len - QCOW_SECTOR_LEN, writer->tables.l1.first_sector, QCOW_SECTOR_LEN);
    }
    qcow_header_emit(header, bytes);
    memcpy(bytes + QCOW_HEADER_LEN, writer->backing_name.bytes, writer->backing_name.len);
    return block_writer_put(blocks, 0, bytes, len, error);
}

static const struct block_writer_format qcow_writer_format = {
    .place = qcow_place,
    .end_tables = qcow_end_tables,
    .write_header = qcow_write_header,
};

static uint32_t qcow_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch)
{
    const struct qcow_writer *writer = (const struct qcow_writer *)target;
    size_t len;
    /* A stream that is not shorter is no gain, and its length would not fit the entry. */
    return deflate_compress(&writer->deflate, cluster, stream, cluster.len - 1, scratch, &len) ? (uint32_t)len
                                                                                               : TARGET_COMPRESS_FAILED;
}

/* A copy is written, padded to whole sectors: for the caller it is done at once. */
static bool qcow_write_compressed(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                                  struct error *error)
{
    struct block_writer *blocks = block_writer_of(target);
    struct qcow_writer *writer = writer_of(blocks);
    uint32_t bits = writer->header.cluster_bits;
    uint64_t block = voff >> bits;
    uint8_t bytes[1u << CLUSTER_BITS] = {0};
    uint64_t off;
    RETURN_IF_FAILED(target_check(target, error) && block_writer_close(blocks, error));
    RETURN_IF_FAILED(two_level_writer_select(&writer->tables, block, error));
    RETURN_IF_FAILED(block_writer_append(blocks, stream.len, QCOW_SECTOR_LEN, false, &off, error));
    RETURN_IF_FAILED(two_level_writer_set(&writer->tables, block,
                                          off | QCOW_ENTRY_COMPRESSED | (uint64_t)stream.len << (63 - bits), error));
    memcpy(bytes, stream.data, stream.len);
    RETURN_IF_FAILED(block_writer_put(blocks, off, bytes, round_up(stream.len, QCOW_SECTOR_LEN), error));
    write->done(write, NULL);
    return true;
}

static bool compression_choose(const struct target_setup *setup, struct qcow_writer *writer, struct error *error)
{
    static struct target_operations operations;
    struct target *target = &writer->blocks.target;
    bool is_large = setup->compression.window == TARGET_WINDOW_LARGE;
    int level = setup->compression.level;
    if (is_large) {
        return error_set(error, ERROR_USAGE, NULL, "clusters of 4 KiB have no use for a larger window");
    }
    level = level == TARGET_LEVEL_DEFAULT ? DEFLATE_LEVEL_DEFAULT : level;
    RETURN_IF_FAILED(target_check_level(level, DEFLATE_LEVEL_MIN, DEFLATE_LEVEL_MAX, error));
    writer->deflate = (struct deflate_choice){.level = level};
    operations = block_writer_operations;
    operations.compress = qcow_compress;
    operations.write_compressed = qcow_write_compressed;
    target->operations = &operations;
    target->compress_len = 1u << writer->header.cluster_bits;
    target->scratch_len = (uint32_t)deflate_compress_scratch_len(&writer->deflate, target->compress_len);
    return true;
}

/* `encryption=on` is the older way to say `encrypt.format=aes`. Any other word than these two is one for the format. */
static bool encryption_format(const instar_FormatOption *option, const char **ret_format, struct error *error)
{
    static const char *const values[] = {"aes", "qcow", "luks", NULL};
    uint32_t index;
    RETURN_IF_FAILED(option_choice(option, values, "format", &index, error));
    *ret_format = values[index];
    return true;
}

/* In the order in which QEMU looks. *ret_cipher NULL: the image is not encrypted. */
static bool encryption_choose(const struct target_setup *setup, const struct data_cipher **ret_cipher,
                              struct error *error)
{
    const instar_FormatOption *old = options_find(setup->options, setup->option_count, "encryption");
    const instar_FormatOption *format = options_find(setup->options, setup->option_count, "encrypt.format");
    const instar_FormatOption *secret = options_find(setup->options, setup->option_count, "encrypt.key-secret");
    const char *name = NULL;
    old = old != NULL && strcmp(old->value, "off") == 0 ? NULL : old;
    if (old != NULL && format != NULL) {
        return error_set(error, ERROR_USAGE, NULL,
                         "'encrypt.format' and its alias 'encryption' can't be used at the same time");
    }
    if (format != NULL || (old != NULL && strcmp(old->value, "on") != 0)) {
        RETURN_IF_FAILED(encryption_format(format != NULL ? format : old, &name, error));
    }
    if (name != NULL && strcmp(name, "luks") == 0) {
        return error_set(error, ERROR_USAGE, NULL, "Unsupported encryption format");
    }
    if (old == NULL && format == NULL) {
        *ret_cipher = NULL;
        return secret == NULL ||
               error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Parameter 'encrypt.format' is missing");
    }
    struct image_key key = {0};
    if (secret != NULL) {
        key = image_key_find(setup->environment, secret->value);
    }
    return image_cipher_make_aes(&key, setup->environment->arena, ret_cipher, error);
}

static bool header_make(const struct target_setup *setup, struct qcow_writer *writer, struct error *error)
{
    bool is_backed = setup->backing_name.is_set;
    struct qcow_header header = {
        .cluster_bits = is_backed ? CLUSTER_BITS_BACKED : CLUSTER_BITS,
        .l2_bits = is_backed ? L2_BITS_BACKED : L2_BITS,
        .disk_len = setup->virtual_len,
        .l1_off = round_up(QCOW_HEADER_LEN + setup->backing_name.len, ENTRY_LEN),
        .backing_off = is_backed ? QCOW_HEADER_LEN : 0,
        .backing_len = setup->backing_name.len,
    };
    if (header.disk_len == 0) {
        return error_set(error, ERROR_USAGE, NULL, "Image size is too small, cannot be zero length");
    }
    writer->header = header;
    writer->backing_name = setup->backing_name;
    return qcow_header_count_l1(&writer->header, error);
}

bool qcow_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_QCOW);
    const struct data_cipher *cipher;
    struct arena *arena = setup->environment->arena;
    struct qcow_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct qcow_writer));
    RETURN_IF_FAILED(options_check(setup->options, setup->option_count, descriptions, error) &&
                     options_check_file_preallocation(setup->options, setup->option_count, setup->file, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    RETURN_IF_FAILED(header_make(setup, writer, error) && encryption_choose(setup, &cipher, error));
    writer->header.is_encrypted = cipher != NULL;
    const struct qcow_header *header = &writer->header;
    struct two_level_layout tables = {
        .word = BLOCK_TABLE_BE64,
        .l1_off = header->l1_off,
        .l1_count = header->l1_count,
        .l2_count = 1ull << header->l2_bits,
        .alignment = 1ull << header->cluster_bits,
    };
    struct block_writer_layout layout = {
        .format = &qcow_writer_format,
        .block_len = 1ull << header->cluster_bits,
        /* As many bytes of the table as whole sectors have. */
        .data_off = header->l1_off + round_up(header->l1_count * ENTRY_LEN, QCOW_SECTOR_LEN),
        .has_backing = setup->backing_name.is_set,
        .cipher = cipher,
    };
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, setup, &layout, error) &&
                     two_level_writer_make(&writer->tables, &writer->blocks, &tables, arena, error));
    *ret_target = &writer->blocks.target;
    return !setup->compresses || compression_choose(setup, writer, error);
}
