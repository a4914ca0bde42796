/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of a new qcow2 image. */
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/text.h"
#include "base/units.h"
#include "guest/crypto/luks_new.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"
#include "guest/image/write/cipher_writer.h"

static bool sizes_check(const struct target_setup *setup, const struct qcow2_options *options,
                        uint64_t *ret_l1_entry_count, uint64_t *ret_l2_span_len, struct error *error)
{
    uint32_t l2_bits = options->cluster_bits - (options->has_extended_l2 ? 4 : 3);
    uint64_t span_len = 1ull << (options->cluster_bits + l2_bits);
    uint64_t count = divide_up(setup->virtual_len, span_len);
    if (setup->virtual_len > INT64_MAX || count * sizeof(uint64_t) > QCOW2_L1_LEN_MAX) {
        return error_set(error, ERROR_USAGE, NULL,
                         "The image size is too large for file format 'qcow2' (try using a larger cluster size)");
    }
    *ret_l1_entry_count = max_u64(count, 1);
    *ret_l2_span_len = span_len;
    return true;
}

/* Parts have what can be joined, and is the whole image's afterwards. */
static bool shard_check(const struct target_setup *setup, const struct qcow2_options *options, struct error *error)
{
    const char *what = NULL;
    if (options->version < 3) {
        what = "version 2 (compat=0.10)";
    } else if (options->is_encrypted) {
        what = "encryption";
    } else if (options->preallocation != QCOW2_PREALLOCATION_OFF) {
        what = "preallocation";
    } else if (setup->backing_name.is_set) {
        what = "a backing file";
    } else if (target_further_file(setup, 0) != NULL) {
        what = "a data file";
    }
    return what == NULL || error_set(error, ERROR_UNSUPPORTED, NULL, "parts of images with %s are not supported", what);
}

/* In the order in which QEMU looks. */
static bool combination_check(const struct target_setup *setup, const struct qcow2_options *options,
                              struct error *error)
{
    bool is_preallocated = options->preallocation != QCOW2_PREALLOCATION_OFF;
    if (!setup->backing_name.is_set && setup->backing_format[0] != '\0') {
        return error_set(error, ERROR_USAGE, NULL, "Backing format cannot be used without backing file");
    }
    if (setup->backing_name.is_set && options->is_data_file_raw) {
        return error_set(error, ERROR_USAGE, NULL, "Backing file and data-file-raw cannot be used at the same time");
    }
    if (setup->backing_name.is_set && is_preallocated && !options->has_extended_l2) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Backing file and preallocation can only be used at the same time if extended_l2 is on");
    }
    if (setup->compresses && is_preallocated) {
        return error_set(error, ERROR_USAGE, NULL, "Compression and preallocation not supported at the same time");
    }
    if (setup->compresses && target_further_file(setup, 0) != NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "clusters of an external data file cannot be compressed");
    }
    return setup->shard == NULL || shard_check(setup, options, error);
}

static bool memory_take(struct qcow2_writer *writer, struct arena *arena)
{
    for (uint32_t i = 0; i < QCOW2_WRITER_BUFFERS; i++) {
        writer->buffers[i].writer = writer;
        writer->buffers[i].data = arena_allocate(arena, writer->cluster_len, 4096);
        if (writer->buffers[i].data == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < QCOW2_PACK_BUFFERS; i++) {
        writer->pack.buffers[i].writer = writer;
        writer->pack.buffers[i].data = arena_allocate(arena, QCOW2_PACK_LEN, 4096);
        if (writer->pack.buffers[i].data == NULL) {
            return false;
        }
    }
    writer->zeros = arena_allocate(arena, writer->cluster_len, 4096);
    writer->l1 = arena_allocate(arena, writer->l1_entry_count * sizeof(*writer->l1), 8);
    writer->l2 = arena_allocate(arena, writer->cluster_len, 4096);
    return writer->zeros != NULL && writer->l1 != NULL && writer->l2 != NULL;
}

static uint64_t l1_cluster_count(const struct qcow2_writer *writer)
{
    uint64_t len = writer->l1_entry_count * sizeof(uint64_t);
    return divide_up(len, writer->cluster_len);
}

/* The first cluster is the header's. What was the header of something else is none from now on. */
static bool layout_begin(struct qcow2_writer *writer, struct arena *arena, struct error *error)
{
    /* At most: the disk, its tables, and the header; with encryption, its header, and what may be free around that. */
    uint64_t block_entries = 1ull << (writer->options.cluster_bits + 3 - writer->options.refcount_order);
    uint64_t cluster_max =
        writer->target.virtual_len / writer->cluster_len + writer->l1_entry_count + l1_cluster_count(writer) + 3;
    if (writer->options.is_encrypted) {
        cluster_max += LUKS_PAYLOAD_OFF_MAX / writer->cluster_len + 1 + 2 * block_entries;
    }
    if (!qcow2_allocator_init(&writer->allocator, writer->options.cluster_bits, writer->options.refcount_order,
                              cluster_max, arena)) {
        return error_set(error, ERROR_LIMIT, writer->target.file->name, "no memory is left for the image's tables");
    }
    uint64_t off;
    uint64_t count;
    RETURN_IF_FAILED(qcow2_writer_allocate(writer, 1, &off, &count, error));
    return qcow2_writer_table(writer, off, writer->zeros, writer->cluster_len, error);
}

/* An external data file is as long as the disk, and a raw image of it, if it is to be one, from the start. */
static bool data_file_begin(struct qcow2_writer *writer, struct error *error)
{
    struct file *file = writer->data_file;
    if (file == writer->target.file) {
        return true;
    }
    if (writer->options.is_data_file_raw && !file->reads_as_zero) {
        return error_set(error, ERROR_UNSUPPORTED, file->name,
                         "a block device cannot be a raw data file: it does not read as zeros");
    }
    if (!file->is_resizable) {
        return file->len >= writer->target.virtual_len ||
               error_set(error, ERROR_NO_SPACE, file->name, "the data file has %llu bytes, the disk needs %llu",
                         (unsigned long long)file->len, (unsigned long long)writer->target.virtual_len);
    }
    struct io_request request = target_own_request(&writer->target);
    io_set_len(writer->target.io, &request, file, writer->target.virtual_len);
    return target_settle(&writer->target, error);
}

/* In the order in which QEMU looks: the key first. */
static bool encryption_check(const struct target_setup *setup, struct luks_options *ret_luks, struct image_key *ret_key,
                             struct error *error)
{
    static const char prefix[] = "encrypt.";
    RETURN_IF_FAILED(luks_options_parse(setup->options, setup->option_count, prefix, ret_luks, error));
    RETURN_IF_FAILED(luks_new_key(ret_luks, setup->environment, prefix, ret_key, error));
    return !setup->compresses ||
           error_set(error, ERROR_USAGE, NULL, "Compression and encryption not supported at the same time");
}

/* The LUKS header, with its key slots, lies behind the image's own header. */
static bool encryption_begin(struct qcow2_writer *writer, const struct target_setup *setup, struct error *error)
{
    struct target *target = &writer->target;
    struct luks_options options;
    struct image_key key;
    struct luks_new made;
    RETURN_IF_FAILED(encryption_check(setup, &options, &key, error));
    struct span random = {setup->identity->random, sizeof(setup->identity->random)};
    RETURN_IF_FAILED(luks_new_make(&options, key.secret, random, setup->environment, &made, error));
    uint64_t wanted = round_up(made.payload_off, writer->cluster_len) >> writer->options.cluster_bits;
    RETURN_IF_FAILED(qcow2_writer_allocate_piece(writer, wanted, &writer->crypto_off, error));
    writer->crypto_len = made.payload_off;
    RETURN_IF_FAILED(qcow2_writer_grow_to(writer, writer->crypto_off + wanted * writer->cluster_len, error));
    struct io_request clear = target_own_request(target);
    io_write_zeroes(target->io, &clear, target->file, writer->crypto_off, wanted * writer->cluster_len, true);
    RETURN_IF_FAILED(target_settle(target, error));
    struct io_request head = target_own_request(target);
    io_write(target->io, &head, target->file, writer->crypto_off, made.head.data, made.head.len);
    RETURN_IF_FAILED(target_settle(target, error));
    target->takes_copies = false;
    return cipher_writer_make(setup->environment->arena, target->io, &made.cipher->data, &writer->cipher, error);
}

bool qcow2_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct arena *arena = setup->environment->arena;
    struct qcow2_options options;
    uint64_t l1_entry_count;
    uint64_t l2_span_len;
    struct file *data_file = target_further_file(setup, 0);
    RETURN_IF_FAILED(qcow2_options_parse(setup->options, setup->option_count, data_file != NULL, &options, error));
    RETURN_IF_FAILED(combination_check(setup, &options, error));
    RETURN_IF_FAILED(sizes_check(setup, &options, &l1_entry_count, &l2_span_len, error));
    struct qcow2_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct qcow2_writer));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    *writer = (struct qcow2_writer){
        .target =
            {
                .operations = &qcow2_writer_operations,
                .file = setup->file,
                .io = setup->environment->io,
                .virtual_len = setup->virtual_len,
                .unit_len = 1u << options.cluster_bits,
                .has_backing = setup->backing_name.is_set,
                .takes_copies = (data_file != NULL ? data_file : setup->file)->takes_copies,
            },
        .options = options,
        .data_file = data_file != NULL ? data_file : setup->file,
        .backing_name = setup->backing_name,
        .data_name = setup->data_name,
        .shard = setup->shard,
        .arena = arena,
        .stores_zeros = setup->stores_zeros,
        .cluster_len = 1u << options.cluster_bits,
        .l2_entry_len = options.has_extended_l2 ? 16 : 8,
        .l2_span_len = l2_span_len,
        .l1_entry_count = l1_entry_count,
    };
    text_copy(writer->backing_format, sizeof(writer->backing_format), setup->backing_format);
    if (options.has_extended_l2) {
        writer->target.unit_len /= QCOW2_SUBCLUSTER_COUNT;
    }
    if (setup->compresses) {
        RETURN_IF_FAILED(qcow2_compression_choose(&setup->compression, options.compression, writer->cluster_len,
                                                  &writer->target, &writer->compression, error));
    }
    if (!memory_take(writer, arena)) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image's tables");
    }
    RETURN_IF_FAILED(layout_begin(writer, arena, error));
    RETURN_IF_FAILED(data_file_begin(writer, error));
    RETURN_IF_FAILED(!options.is_encrypted || encryption_begin(writer, setup, error));
    *ret_target = &writer->target;
    return true;
}

/* Writes a table of our byte order to `off`, in whole clusters. */
static bool table_write(struct qcow2_writer *writer, uint64_t off, const uint64_t *table, uint64_t entry_count,
                        struct error *error)
{
    uint64_t entries_per_cluster = writer->cluster_len / sizeof(struct be64);
    for (uint64_t first = 0; first < entry_count; first += entries_per_cluster) {
        uint64_t count = min_u64(entry_count - first, entries_per_cluster);
        memset(writer->l2, 0, writer->cluster_len);
        for (uint64_t i = 0; i < count; i++) {
            struct be64 entry = be64_make(table[first + i]);
            memcpy(writer->l2 + i * sizeof(entry), &entry, sizeof(entry));
        }
        RETURN_IF_FAILED(
            qcow2_writer_table(writer, off + first * sizeof(struct be64), writer->l2, writer->cluster_len, error));
    }
    return true;
}

/* What is left of the reference counts, then both tables. */
static bool tables_write(struct qcow2_writer *writer, struct qcow2_new_header *ret_last, uint64_t *ret_end_off,
                         struct error *error)
{
    struct qcow2_allocator *allocator = &writer->allocator;
    uint32_t bits = writer->options.cluster_bits;
    struct qcow2_allocator_end end;
    if (!qcow2_allocator_finish(allocator, l1_cluster_count(writer), &end) ||
        end.table_clusters << bits > QCOW2_REFCOUNT_TABLE_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, writer->target.file->name, "the image has too many clusters");
    }
    for (uint64_t i = 0; i < end.block_count; i++) {
        qcow2_allocator_last_block(allocator, &end, i);
        RETURN_IF_FAILED(
            qcow2_writer_table(writer, (end.first_block + i) << bits, allocator->block, writer->cluster_len, error));
    }
    *ret_last = (struct qcow2_new_header){
        .refcount_table_off = end.table_cluster << bits,
        .refcount_table_clusters = end.table_clusters,
        .l1_off = end.tail_cluster << bits,
    };
    /* The rest of the last cluster is not needed, and counts where images are small. */
    *ret_end_off = ret_last->l1_off + round_up(writer->l1_entry_count * sizeof(uint64_t), SECTOR_LEN);
    RETURN_IF_FAILED(
        table_write(writer, ret_last->refcount_table_off, allocator->table, allocator->block_index, error));
    return table_write(writer, ret_last->l1_off, writer->l1, writer->l1_entry_count, error);
}

bool qcow2_writer_finish(struct target *target, bool sync, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    struct qcow2_new_header last;
    uint64_t end_off;
    RETURN_IF_FAILED(qcow2_pack_close(writer, error));
    RETURN_IF_FAILED(qcow2_writer_close_tables(writer, error));
    RETURN_IF_FAILED(tables_write(writer, &last, &end_off, error));
    RETURN_IF_FAILED(target_settle(&writer->target, error));
    if (target->file->is_resizable && target->file->len != end_off) {
        RETURN_IF_FAILED(target_set_len(&writer->target, target->file, end_off, error));
    }
    if (sync) {
        /* Before the header, so that no header ever stands before what it tells of. */
        RETURN_IF_FAILED(qcow2_writer_flush(writer, error));
    }
    memset(writer->l2, 0, writer->cluster_len);
    RETURN_IF_FAILED(qcow2_header_emit(writer, &last, writer->l2, error));
    RETURN_IF_FAILED(qcow2_writer_table(writer, 0, writer->l2, writer->cluster_len, error));
    RETURN_IF_FAILED(target_settle(&writer->target, error));
    return !sync || qcow2_writer_flush(writer, error);
}
