/* SPDX-License-Identifier: Apache-2.0 */
/* A new image: header, map, and blocks in the order in which the disk has them; of a static one, all blocks. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vdi/vdi.h"
#include "guest/image/option_values.h"
#include "guest/image/write/block_writer.h"
#include "guest/image/write/table_writer.h"

struct vdi_writer {
    struct block_writer blocks; /* first */
    struct table_writer map;
    struct vdi_header header;
    uint8_t random[2 * UUID_LEN];
};

static bool vdi_place(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct vdi_writer *writer = (struct vdi_writer *)blocks;
    RETURN_IF_FAILED(block_writer_append(blocks, VDI_BLOCK_LEN, 1, false, ret_off, error));
    return table_writer_set(&writer->map, block, writer->header.allocated_count++, error);
}

static bool vdi_end_tables(struct block_writer *blocks, struct error *error)
{
    struct vdi_writer *writer = (struct vdi_writer *)blocks;
    struct vdi_header *header = &writer->header;
    while (blocks->layout.is_flat && header->allocated_count < header->block_count) { /* ends: VDI_BLOCK_COUNT_MAX */
        RETURN_IF_FAILED(table_writer_set(&writer->map, header->allocated_count, header->allocated_count, error));
        header->allocated_count++;
    }
    return table_writer_end(&writer->map, error);
}

static bool vdi_write_header(struct block_writer *blocks, struct error *error)
{
    const struct vdi_writer *writer = (const struct vdi_writer *)blocks;
    uint8_t head[VDI_HEADER_LEN];
    vdi_header_emit(&writer->header, writer->random, head);
    return block_writer_put(blocks, 0, head, sizeof(head), error);
}

static const struct block_writer_format vdi_writer_format = {
    .place = vdi_place,
    .end_tables = vdi_end_tables,
    .write_header = vdi_write_header,
};

static bool options_parse(const struct target_setup *setup, bool *ret_is_static, struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_VDI);
    RETURN_IF_FAILED(options_check(setup->options, setup->option_count, descriptions, error) &&
                     options_check_file_preallocation(setup->options, setup->option_count, setup->file, error));
    const instar_FormatOption *option = options_find(setup->options, setup->option_count, "static");
    *ret_is_static = false;
    return option == NULL || option_flag(option, ret_is_static, error);
}

bool vdi_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct arena *arena = setup->environment->arena;
    struct vdi_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct vdi_writer));
    uint64_t count = divide_up(setup->virtual_len, VDI_BLOCK_LEN);
    bool is_static;
    RETURN_IF_FAILED(target_check_plain(setup, "vdi", error) && options_parse(setup, &is_static, error) &&
                     vdi_check_len(setup->virtual_len, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    /* The map has VDI_BLOCK_COUNT_MAX entries at most: offsets are below 2^31. */
    struct block_writer_layout layout = {
        .format = &vdi_writer_format,
        .block_len = VDI_BLOCK_LEN,
        .data_off = VDI_HEADER_LEN + round_up(count * sizeof(uint32_t), VDI_SECTOR_LEN),
        .is_flat = is_static,
        .flat_len = count * VDI_BLOCK_LEN,
    };
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, setup, &layout, error));
    RETURN_IF_FAILED(
        table_writer_make(&writer->map, &writer->blocks.target, arena, BLOCK_TABLE_LE32, VDI_ENTRY_NONE, count, error));
    table_writer_begin(&writer->map, VDI_HEADER_LEN, 0, count);
    writer->header = (struct vdi_header){
        .type = is_static ? VDI_TYPE_STATIC : VDI_TYPE_DYNAMIC,
        .map_off = VDI_HEADER_LEN,
        .data_off = (uint32_t)layout.data_off,
        .block_count = (uint32_t)count,
        .disk_len = setup->virtual_len,
    };
    memcpy(writer->random, setup->identity->random, sizeof(writer->random));
    *ret_target = &writer->blocks.target;
    return true;
}
