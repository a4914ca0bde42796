/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two levels of tables of a new image (block_writer.h): an L1 table before all blocks, and L2 tables among them, each
 * before the first block that it tells of. Of both, pages only are in memory.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_TWO_LEVEL_WRITER_H
#define INSTAR_GUEST_IMAGE_WRITE_TWO_LEVEL_WRITER_H

#include "guest/image/write/block_writer.h"
#include "guest/image/write/table_writer.h"

struct two_level_layout {
    enum block_table_word word; /* of both levels; entries that nobody sets are 0 */
    uint64_t l1_off;            /* bytes */
    uint64_t l1_count;          /* entries */
    uint64_t l2_count;          /* entries of each L2 table */
    uint64_t alignment;         /* of L2 tables, bytes */
};

struct two_level_writer {
    struct block_writer *blocks;
    struct two_level_layout layout;
    struct table_writer l1;
    struct table_writer l2;
    bool has_l2; /* an L2 table is under way: */
    uint64_t l2_index;
};

MUST_CHECK bool two_level_writer_make(struct two_level_writer *writer, struct block_writer *blocks,
                                      const struct two_level_layout *layout, struct arena *arena, struct error *error);

/* Makes the table that tells of `block` the one under way: a new one gets its place in the file now. */
MUST_CHECK bool two_level_writer_select(struct two_level_writer *writer, uint64_t block, struct error *error);

/* The entry of a block of the selected table; in ascending order. */
MUST_CHECK bool two_level_writer_set(struct two_level_writer *writer, uint64_t block, uint64_t entry,
                                     struct error *error);

/* What is left of both levels. */
MUST_CHECK bool two_level_writer_end(struct two_level_writer *writer, struct error *error);

#endif
