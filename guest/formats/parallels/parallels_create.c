/* SPDX-License-Identifier: Apache-2.0 */
/* New images: header and BAT, in whole clusters, and then clusters in the order in which the disk has them. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/parallels/parallels.h"
#include "guest/image/option_values.h"
#include "guest/image/write/block_writer.h"
#include "guest/image/write/table_writer.h"

#define CLUSTER_LEN_DEFAULT (1u << 20)

struct parallels_writer {
    struct block_writer blocks; /* first */
    struct table_writer bat;
    struct parallels_header header;
};

static bool parallels_place(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct parallels_writer *writer = (struct parallels_writer *)blocks;
    uint64_t len = writer->header.cluster_len;
    RETURN_IF_FAILED(block_writer_append(blocks, len, len, false, ret_off, error));
    return *ret_off / len <= UINT32_MAX
               ? table_writer_set(&writer->bat, block, *ret_off / len, error)
               : error_set(error, ERROR_UNSUPPORTED, blocks->target.file->name, "the image has too many clusters");
}

static bool parallels_end_tables(struct block_writer *blocks, struct error *error)
{
    return table_writer_end(&((struct parallels_writer *)blocks)->bat, error);
}

/* In the sector that the BAT begins in. */
static bool parallels_write_header(struct block_writer *blocks, struct error *error)
{
    struct parallels_writer *writer = (struct parallels_writer *)blocks;
    parallels_header_emit(&writer->header, blocks->layout.data_off, writer->bat.first_sector);
    return block_writer_put(blocks, 0, writer->bat.first_sector, sizeof(writer->bat.first_sector), error);
}

static const struct block_writer_format parallels_writer_format = {
    .place = parallels_place,
    .end_tables = parallels_end_tables,
    .write_header = parallels_write_header,
};

static bool cluster_len_parse(const struct target_setup *setup, uint64_t *ret_len, struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_PARALLELS);
    uint64_t len = CLUSTER_LEN_DEFAULT;
    RETURN_IF_FAILED(options_check(setup->options, setup->option_count, descriptions, error) &&
                     options_check_file_preallocation(setup->options, setup->option_count, setup->file, error));
    const instar_FormatOption *option = options_find(setup->options, setup->option_count, "cluster_size");
    RETURN_IF_FAILED(option == NULL || option_size(option, &len, error));
    *ret_len = round_up(min_u64(len, INT64_MAX), PARALLELS_SECTOR_LEN);
    return true;
}

bool parallels_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct arena *arena = setup->environment->arena;
    struct parallels_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct parallels_writer));
    uint64_t cluster_len;
    RETURN_IF_FAILED(target_check_plain(setup, "parallels", error) && cluster_len_parse(setup, &cluster_len, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    struct parallels_header *header = &writer->header;
    RETURN_IF_FAILED(parallels_header_make(cluster_len, setup->virtual_len, header, error));
    uint64_t tables_len = PARALLELS_HEADER_LEN + (uint64_t)header->entry_count * sizeof(uint32_t);
    struct block_writer_layout layout = {
        .format = &parallels_writer_format,
        .block_len = cluster_len,
        .data_off = (tables_len + cluster_len - 1) / cluster_len * cluster_len, /* both are below 2^32 */
    };
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, setup, &layout, error) &&
                     table_writer_make(&writer->bat, &writer->blocks.target, arena, BLOCK_TABLE_LE32, 0,
                                       header->entry_count, error));
    table_writer_begin(&writer->bat, PARALLELS_HEADER_LEN, 0, header->entry_count);
    *ret_target = &writer->blocks.target;
    return true;
}
