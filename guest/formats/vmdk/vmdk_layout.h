/* SPDX-License-Identifier: Apache-2.0 */
/* What in the file of a sparse extent is used, and by what: looked at before it is changed. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_LAYOUT_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vmdk/vmdk.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"
#include "guest/image/tables/block_table.h"
#include "guest/image/write/block_storage.h"

struct vmdk_layout {
    struct vmdk_sparse_header header;
    struct block_storage storage;
    uint64_t metadata_end; /* bytes: behind the last table, and behind what the header keeps for them */
    uint64_t next_off;     /* bytes: behind everything, where another grain may begin */
};

/*
 * Every entry of the directories leads to a table of its own, and every grain has a place of its own, in the extent's
 * file, which is that of `image`. Otherwise, or where a table is missing, such an image is not changed (an error).
 */
MUST_CHECK bool vmdk_layout_look(struct vmdk_layout *layout, struct image *image, const struct vmdk_extent *extent,
                                 struct error *error);

/* Begins with what is always there: the header, and the descriptor behind it. */
MUST_CHECK bool vmdk_layout_begin(struct vmdk_layout *layout, struct image *image, const struct vmdk_extent *extent,
                                  struct error *error);

/* The grain directory at `off`, the first or the redundant one. */
static inline struct block_table vmdk_directory_at(const struct vmdk_extent *extent, uint64_t off)
{
    return (struct block_table){extent->file, off, extent->tables.directory_count, BLOCK_TABLE_LE32};
}

/* The grain table that a directory's entry leads to. */
static inline struct block_table vmdk_table_at_sector(const struct vmdk_extent *extent, uint64_t sector)
{
    return (struct block_table){extent->file, sector * VMDK_SECTOR_LEN, extent->tables.table_count, BLOCK_TABLE_LE32};
}

#endif
