/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image that exists, changed in place: clusters and L2 tables go to the end of the file. It needs no check after a
 * crash, as what tells of a cluster is written last: QED_FEATURE_NEED_CHECK is not set, and cleared where a check has
 * found the image sound.
 */
#include "guest/formats/qed/qed_modify.h"

#include "base/checked.h"

/* The L2 table that has block `block`, or would have it: an offset, or QED_ENTRY_NONE. */
static bool find_table(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    const struct qed_header *header = qed_modify_of(blocks)->header;
    struct block_table l1 = qed_table(blocks->image, header->l1_off);
    return table_changes_get(&blocks->changes, &l1, block >> header->entry_bits, ret_off, error);
}

static bool qed_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                     struct error *error)
{
    uint64_t l2_off;
    uint64_t entry = QED_ENTRY_NONE;
    RETURN_IF_FAILED(find_table(blocks, block, &l2_off, error));
    if (l2_off != QED_ENTRY_NONE) {
        struct block_table l2 = qed_table(blocks->image, l2_off);
        RETURN_IF_FAILED(table_changes_get(&blocks->changes, &l2, block & (l2.count - 1), &entry, error));
    }
    *ret_place = (struct block_modify_place){BLOCK_STORED, entry};
    if (entry == QED_ENTRY_NONE || entry == QED_ENTRY_ZERO) {
        ret_place->kind = entry == QED_ENTRY_ZERO ? BLOCK_ZERO : BLOCK_NONE;
    }
    return true;
}

/* Sets a block's entry, in a new table if there is none. */
static bool set_entry(struct block_modify *blocks, uint64_t block, uint64_t entry, struct error *error)
{
    const struct qed_header *header = qed_modify_of(blocks)->header;
    uint64_t l2_off;
    RETURN_IF_FAILED(find_table(blocks, block, &l2_off, error));
    if (l2_off == QED_ENTRY_NONE) {
        struct block_table l1 = qed_table(blocks->image, header->l1_off);
        RETURN_IF_FAILED(block_modify_append_table(blocks, (uint64_t)header->table_clusters * header->cluster_len,
                                                   header->cluster_len, &l2_off, error));
        RETURN_IF_FAILED(table_changes_set(&blocks->changes, &l1, block >> header->entry_bits, l2_off, error));
    }
    struct block_table l2 = qed_table(blocks->image, l2_off);
    return table_changes_set(&blocks->changes, &l2, block & (l2.count - 1), entry, error);
}

static bool qed_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    return block_modify_append(blocks, blocks->block_len, blocks->block_len, ret_off, error) &&
           set_entry(blocks, block, *ret_off, error);
}

static bool qed_set_zero(struct block_modify *blocks, uint64_t block, struct error *error)
{
    return set_entry(blocks, block, QED_ENTRY_ZERO, error);
}

static bool qed_begin(struct block_modify *blocks, struct error *error)
{
    struct qed_modify *modify = qed_modify_of(blocks);
    if ((modify->header->features & QED_FEATURE_NEED_CHECK) == 0) {
        return true;
    }
    modify->header->features &= ~QED_FEATURE_NEED_CHECK;
    return qed_modify_write_header(modify, error);
}

/* Who reads the image meanwhile checks its offsets by this. */
static bool qed_has_grown(struct block_modify *blocks, struct error *error)
{
    struct qed_header *header = qed_modify_of(blocks)->header;
    (void)error;
    header->file_len = round_down(blocks->target.file->len, header->cluster_len);
    return true;
}

bool qed_modify_write_header(struct qed_modify *modify, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, blocks->target.file, 0, blocks->bounce, QED_SECTOR_LEN, error));
    qed_header_update(modify->header, blocks->bounce);
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, 0, blocks->bounce, QED_SECTOR_LEN, error));
    return block_modify_flush(blocks, error);
}

bool qed_modify_make(struct image *image, struct qed_modify **ret_modify, struct error *error)
{
    static const struct block_modify_format format = {
        .find = qed_find,
        .place = qed_place,
        .set_zero = qed_set_zero,
        .begin = qed_begin,
        .has_grown = qed_has_grown,
    };
    struct qed_modify *modify = arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct qed_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    modify->header = image->state;
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image, &format, modify->header->cluster_len,
                                       modify->header->file_len, QED_SECTOR_LEN, error));
    *ret_modify = modify;
    return true;
}
