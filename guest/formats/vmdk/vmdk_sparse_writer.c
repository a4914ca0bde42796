/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/write/block_writer.h"
#include "guest/image/write/table_writer.h"

#define ENTRY_LEN 4u
#define VERSION_PLAIN 1u
#define VERSION_ZEROED_GRAINS 2u

struct vmdk_sparse_writer {
    struct block_writer blocks; /* first */
    struct table_writer tables; /* all grain tables, which follow each other; and the directories, before */
    struct vmdk_sparse_header header;
};

bool vmdk_new_table_count(uint64_t virtual_len, uint64_t *ret_count, struct error *error)
{
    uint64_t table_len = (uint64_t)VMDK_NEW_TABLE_COUNT * VMDK_NEW_GRAIN_LEN;
    uint64_t count = divide_up(virtual_len, table_len);
    if (count > VMDK_DIRECTORY_COUNT_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "L1 size too big");
    }
    *ret_count = count;
    return true;
}

bool vmdk_new_entry(const struct target *target, uint64_t off, uint32_t *ret_entry, struct error *error)
{
    if (off / VMDK_SECTOR_LEN > UINT32_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, target->file->name, "the image gets longer than 2 TiB");
    }
    *ret_entry = (uint32_t)(off / VMDK_SECTOR_LEN);
    return true;
}

bool vmdk_put_descriptor(struct block_writer *blocks, struct span descriptor, struct error *error)
{
    static uint8_t sectors[VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR_LEN]; /* large: vCPU 0 only */
    uint64_t len = min_u64(descriptor.len, sizeof(sectors));
    memset(sectors, 0, sizeof(sectors));
    memcpy(sectors, descriptor.data, (size_t)len);
    return block_writer_put(blocks, (uint64_t)VMDK_DESCRIPTOR_SECTOR * VMDK_SECTOR_LEN, sectors,
                            round_up(len, VMDK_SECTOR_LEN), error);
}

static bool sparse_place(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct vmdk_sparse_writer *writer = (struct vmdk_sparse_writer *)blocks;
    uint64_t off;
    uint32_t entry;
    RETURN_IF_FAILED(block_writer_append(blocks, VMDK_NEW_GRAIN_LEN, 1, false, &off, error));
    RETURN_IF_FAILED(vmdk_new_entry(&blocks->target, off, &entry, error));
    *ret_off = off;
    return table_writer_set(&writer->tables, block, entry, error);
}

static bool sparse_set_zero(struct block_writer *blocks, uint64_t block, struct error *error)
{
    return table_writer_set(&((struct vmdk_sparse_writer *)blocks)->tables, block, VMDK_ENTRY_ZEROED, error);
}

static bool sparse_end_tables(struct block_writer *blocks, struct error *error)
{
    return table_writer_end(&((struct vmdk_sparse_writer *)blocks)->tables, error);
}

static bool sparse_write_header(struct block_writer *blocks, struct error *error)
{
    uint8_t bytes[VMDK_SPARSE_HEADER_LEN];
    vmdk_sparse_header_emit(&((struct vmdk_sparse_writer *)blocks)->header, bytes);
    return block_writer_put(blocks, 0, bytes, sizeof(bytes), error);
}

static const struct block_writer_format plain_format = {
    .place = sparse_place,
    .end_tables = sparse_end_tables,
    .write_header = sparse_write_header,
};

static const struct block_writer_format zeroing_format = {
    .place = sparse_place,
    .set_zero = sparse_set_zero,
    .end_tables = sparse_end_tables,
    .write_header = sparse_write_header,
};

/* A directory at `sector`, whose tables follow it. */
static bool write_directory(struct vmdk_sparse_writer *writer, uint64_t sector, uint64_t directory_sectors,
                            uint64_t count, struct error *error)
{
    table_writer_begin(&writer->tables, sector * VMDK_SECTOR_LEN, 0, count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t table_sector = sector + directory_sectors + i * VMDK_NEW_TABLE_SECTORS;
        RETURN_IF_FAILED(table_writer_set(&writer->tables, i, table_sector, error));
    }
    return table_writer_end(&writer->tables, error);
}

static bool tables_begin(struct vmdk_sparse_writer *writer, const struct target_setup *setup, uint64_t count,
                         struct error *error)
{
    const struct vmdk_sparse_header *header = &writer->header;
    struct target *target = &writer->blocks.target;
    uint64_t directory_sectors = round_up(count * ENTRY_LEN, VMDK_SECTOR_LEN) / VMDK_SECTOR_LEN;
    uint64_t entry_count = count * VMDK_NEW_TABLE_COUNT;
    RETURN_IF_FAILED(
        table_writer_make(&writer->tables, target, setup->environment->arena, BLOCK_TABLE_LE32, 0, entry_count, error));
    if (count == 0) {
        return true;
    }
    RETURN_IF_FAILED(write_directory(writer, header->redundant_sector, directory_sectors, count, error) &&
                     write_directory(writer, header->directory_sector, directory_sectors, count, error));
    table_writer_begin(&writer->tables, (header->directory_sector + directory_sectors) * VMDK_SECTOR_LEN,
                       (header->redundant_sector + directory_sectors) * VMDK_SECTOR_LEN, entry_count);
    return true;
}

static void header_fill(struct vmdk_sparse_header *header, uint64_t capacity_sectors, uint64_t table_count,
                        bool has_zeroed_grains)
{
    uint64_t directory_sectors = round_up(table_count * ENTRY_LEN, VMDK_SECTOR_LEN) / VMDK_SECTOR_LEN;
    uint64_t both_sectors = directory_sectors + table_count * VMDK_NEW_TABLE_SECTORS;
    *header = (struct vmdk_sparse_header){
        .version = has_zeroed_grains ? VERSION_ZEROED_GRAINS : VERSION_PLAIN,
        .flags = VMDK_FLAG_LINE_ENDS | VMDK_FLAG_REDUNDANT | (has_zeroed_grains ? VMDK_FLAG_ZEROED_GRAINS : 0),
        .capacity_sectors = capacity_sectors,
        .grain_sectors = VMDK_NEW_GRAIN_SECTORS,
        .descriptor_sector = VMDK_DESCRIPTOR_SECTOR,
        .table_count = VMDK_NEW_TABLE_COUNT,
        .redundant_sector = VMDK_DESCRIPTOR_SECTOR + VMDK_DESCRIPTOR_SECTORS,
    };
    header->directory_sector = header->redundant_sector + both_sectors;
    header->overhead_sectors = round_up(header->directory_sector + both_sectors, VMDK_NEW_GRAIN_SECTORS);
}

bool vmdk_sparse_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target, struct error *error)
{
    const struct target_setup *target_setup = setup->target;
    struct vmdk_sparse_writer *writer =
        arena_allocate(target_setup->environment->arena, sizeof(*writer), _Alignof(struct vmdk_sparse_writer));
    uint64_t count;
    RETURN_IF_FAILED(vmdk_new_table_count(target_setup->virtual_len, &count, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, target_setup->file->name, "no memory is left for the image");
    }
    header_fill(&writer->header, target_setup->virtual_len / VMDK_SECTOR_LEN, count, setup->has_zeroed_grains);
    struct block_writer_layout layout = {
        .format = setup->has_zeroed_grains ? &zeroing_format : &plain_format,
        .block_len = VMDK_NEW_GRAIN_LEN,
        .data_off = writer->header.overhead_sectors * VMDK_SECTOR_LEN,
        .has_backing = target_setup->backing_name.is_set,
    };
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, target_setup, &layout, error));
    writer->blocks.target.has_compressed_kinds = true;
    RETURN_IF_FAILED(target_settle(&writer->blocks.target, error)); /* zeros, which a device gets there */
    RETURN_IF_FAILED(tables_begin(writer, target_setup, count, error));
    RETURN_IF_FAILED(vmdk_put_descriptor(&writer->blocks, setup->descriptor, error));
    *ret_target = &writer->blocks.target;
    return true;
}
