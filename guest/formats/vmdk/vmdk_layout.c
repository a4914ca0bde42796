/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_layout.h"

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/cache.h"

#define ENTRY_LEN 4u

static bool fail(const struct image *image, const char *what, struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, image->file->name, "%s: such images are not changed", what);
}

/* A directory, and a table for each of its entries. */
static bool look_at_directory(struct vmdk_layout *layout, struct image *image, const struct vmdk_extent *extent,
                              uint64_t off, struct error *error)
{
    struct block_table directory = vmdk_directory_at(extent, off);
    struct cache *cache = image->environment->cache;
    RETURN_IF_FAILED(directory.count == 0 ||
                     block_storage_keep(&layout->storage, off, directory.count * ENTRY_LEN, error));
    for (uint64_t i = 0; i < directory.count; i++) { /* ends: VMDK_DIRECTORY_COUNT_MAX */
        uint64_t sector;
        RETURN_IF_FAILED(block_table_read(cache, &directory, i, &sector, error));
        if (sector == 0) {
            return fail(image, "the grain directory is incomplete", error);
        }
        struct block_table table = vmdk_table_at_sector(extent, sector);
        RETURN_IF_FAILED(block_storage_keep(&layout->storage, table.off, table.count * ENTRY_LEN, error));
    }
    return true;
}

/* Every grain has a place of its own. */
static bool look_at_grains(struct vmdk_layout *layout, struct image *image, const struct vmdk_extent *extent,
                           struct error *error)
{
    const struct vmdk_tables *tables = &extent->tables;
    struct cache *cache = image->environment->cache;
    struct block_table directory = vmdk_directory_at(extent, tables->directory_off);
    for (uint64_t i = 0; i < directory.count; i++) {
        uint64_t sector;
        uint64_t step;
        RETURN_IF_FAILED(block_table_read(cache, &directory, i, &sector, error));
        struct block_table table = vmdk_table_at_sector(extent, sector);
        for (uint64_t at = 0; at < table.count; at += step) { /* ends: step is 1 at least */
            uint64_t entry;
            RETURN_IF_FAILED(block_table_run(cache, &table, at, table.count - at, 0, &entry, &step, error));
            bool is_stored = entry != 0 && (entry != VMDK_ENTRY_ZEROED || !tables->has_zeroed_grains);
            step = is_stored ? 1 : step;
            RETURN_IF_FAILED(!is_stored ||
                             block_storage_add(&layout->storage, i * table.count + at, entry * VMDK_SECTOR_LEN, error));
        }
    }
    return true;
}

bool vmdk_layout_begin(struct vmdk_layout *layout, struct image *image, const struct vmdk_extent *extent,
                       struct error *error)
{
    uint8_t bytes[VMDK_SPARSE_HEADER_LEN];
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, bytes, sizeof(bytes), error));
    if (!vmdk_sparse_header_parse((struct span){bytes, sizeof(bytes)}, &layout->header)) {
        return fail(image, "the image has another header than that of a hosted sparse extent", error);
    }
    /* As in QEMU the descriptor is there, wherever the header says that it is. */
    bool has_descriptor = layout->header.descriptor_sector != 0;
    return block_storage_make(&layout->storage, image, extent->tables.grain_len, 0, error) &&
           block_storage_keep(&layout->storage, 0, VMDK_SPARSE_HEADER_LEN + (has_descriptor ? VMDK_DESCRIPTOR_LEN : 0),
                              error);
}

bool vmdk_layout_look(struct vmdk_layout *layout, struct image *image, const struct vmdk_extent *extent,
                      struct error *error)
{
    const struct vmdk_tables *tables = &extent->tables;
    RETURN_IF_FAILED(
        vmdk_layout_begin(layout, image, extent, error) &&
        look_at_directory(layout, image, extent, tables->directory_off, error) &&
        (!tables->has_redundant || look_at_directory(layout, image, extent, tables->redundant_off, error)));
    layout->metadata_end = max_u64(round_up(layout->storage.end_off, tables->grain_len),
                                   layout->header.overhead_sectors * VMDK_SECTOR_LEN); /* checked when it was opened */
    RETURN_IF_FAILED(look_at_grains(layout, image, extent, error));
    layout->next_off = block_storage_next_off(&layout->storage);
    return true;
}
