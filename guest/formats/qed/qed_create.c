/* SPDX-License-Identifier: Apache-2.0 */
/* New images: the header's cluster, the L1 table, and then clusters, with L2 tables among them. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qed/qed.h"
#include "guest/image/option_values.h"
#include "guest/image/write/two_level_writer.h"

#define CLUSTER_LEN_DEFAULT 65536u
#define TABLE_CLUSTERS_DEFAULT 4u

struct qed_writer {
    struct block_writer blocks; /* first */
    struct two_level_writer tables;
    struct qed_header header;
    struct file_name backing_name;
};

static struct qed_writer *writer_of(struct block_writer *blocks)
{
    return (struct qed_writer *)blocks;
}

static bool qed_place(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct qed_writer *writer = writer_of(blocks);
    uint64_t len = writer->header.cluster_len;
    return two_level_writer_select(&writer->tables, block, error) &&
           block_writer_append(blocks, len, len, false, ret_off, error) &&
           two_level_writer_set(&writer->tables, block, *ret_off, error);
}

static bool qed_set_zero(struct block_writer *blocks, uint64_t block, struct error *error)
{
    struct qed_writer *writer = writer_of(blocks);
    return two_level_writer_select(&writer->tables, block, error) &&
           two_level_writer_set(&writer->tables, block, QED_ENTRY_ZERO, error);
}

static bool qed_end_tables(struct block_writer *blocks, struct error *error)
{
    return two_level_writer_end(&writer_of(blocks)->tables, error);
}

/* The name stands behind the header. */
static bool qed_write_header(struct block_writer *blocks, struct error *error)
{
    const struct qed_writer *writer = writer_of(blocks);
    uint8_t bytes[QED_HEADER_LEN + FILE_NAME_LEN_MAX + QED_SECTOR_LEN] = {0};
    qed_header_emit(&writer->header, bytes);
    memcpy(bytes + QED_HEADER_LEN, writer->backing_name.bytes, writer->backing_name.len);
    return block_writer_put(blocks, 0, bytes, round_up(QED_HEADER_LEN + writer->backing_name.len, QED_SECTOR_LEN),
                            error);
}

static const struct block_writer_format qed_writer_format = {
    .place = qed_place,
    .set_zero = qed_set_zero,
    .end_tables = qed_end_tables,
    .write_header = qed_write_header,
};

static bool options_parse(const struct target_setup *setup, uint64_t *ret_cluster_len, uint64_t *ret_table_clusters,
                          struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_QED);
    uint64_t cluster_len = CLUSTER_LEN_DEFAULT;
    uint64_t table_clusters = TABLE_CLUSTERS_DEFAULT;
    RETURN_IF_FAILED(options_check(setup->options, setup->option_count, descriptions, error) &&
                     options_check_file_preallocation(setup->options, setup->option_count, setup->file, error));
    const instar_FormatOption *option = options_find(setup->options, setup->option_count, "cluster_size");
    RETURN_IF_FAILED(option == NULL || option_size(option, &cluster_len, error));
    option = options_find(setup->options, setup->option_count, "table_size");
    RETURN_IF_FAILED(option == NULL || option_size(option, &table_clusters, error));
    *ret_cluster_len = cluster_len;
    *ret_table_clusters = table_clusters;
    return true;
}

bool qed_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct arena *arena = setup->environment->arena;
    struct qed_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct qed_writer));
    uint64_t cluster_len, table_clusters;
    RETURN_IF_FAILED(options_parse(setup, &cluster_len, &table_clusters, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    if (setup->compresses) {
        return error_set(error, ERROR_USAGE, NULL, "Compression not supported for this file format");
    }
    if (setup->backing_format[0] != '\0' && format_find(setup->backing_format) == NULL) {
        return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL,
                                "Parameter 'backing-fmt' does not accept value '%s'", setup->backing_format);
    }
    struct qed_header *header = &writer->header;
    RETURN_IF_FAILED(qed_header_make(cluster_len, table_clusters, setup->virtual_len, header, error));
    writer->backing_name = setup->backing_name;
    if (setup->backing_name.is_set) {
        header->features = QED_FEATURE_BACKING_FILE;
        header->features |= strcmp(setup->backing_format, "raw") == 0 ? QED_FEATURE_BACKING_NO_PROBE : 0;
        header->backing_off = QED_HEADER_LEN;
        header->backing_len = setup->backing_name.len;
    }
    uint64_t table_len = table_clusters * cluster_len; /* 1 GiB at most */
    struct two_level_layout tables = {
        .word = BLOCK_TABLE_LE64,
        .l1_off = header->l1_off,
        .l1_count = 1ull << header->entry_bits,
        .l2_count = 1ull << header->entry_bits,
        .alignment = cluster_len,
    };
    struct block_writer_layout layout = {
        .format = &qed_writer_format,
        .block_len = cluster_len,
        .data_off = header->l1_off + table_len,
        .has_backing = setup->backing_name.is_set,
    };
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, setup, &layout, error) &&
                     two_level_writer_make(&writer->tables, &writer->blocks, &tables, arena, error));
    *ret_target = &writer->blocks.target;
    return true;
}
