/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to an image that exists: its content, its backing file, the length of its disk. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qed/qed_modify.h"

/* Where the backing file's name may stand, in the header's clusters, which are 4 KiB at least. */
#define NAME_OFF_FIRST QED_SECTOR_LEN
#define NAME_OFF_SECOND 2048u
_Static_assert(NAME_OFF_FIRST + FILE_NAME_LEN_MAX <= NAME_OFF_SECOND, "one name does not reach to the other");
_Static_assert(NAME_OFF_SECOND + FILE_NAME_LEN_MAX <= 4096, "both fit the smallest header");

/* Nothing of the disk is the image's any more: no L2 table is, and the file ends behind the L1 table. */
static bool qed_make_empty(struct target *target, struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    const struct qed_header *header = qed_modify_of(blocks)->header;
    struct block_table l1 = qed_table(blocks->image, header->l1_off);
    RETURN_IF_FAILED(block_modify_clear_table(blocks, &l1, error) && block_modify_checkpoint(blocks, error) &&
                     block_modify_flush(blocks, error));
    uint64_t table_len = (uint64_t)header->table_clusters * header->cluster_len;
    blocks->next_off = max_u64(header->header_len, header->l1_off + table_len);
    blocks->kept_len = blocks->next_off;
    return true;
}

/*
 * The header is one sector, and written at once. A name that does not fit it goes to a place that the old one does not
 * have, before.
 */
static bool qed_set_backing(struct target *target, const struct file_name *name, const char *format,
                            struct error *error)
{
    struct block_modify *blocks = block_modify_of(target);
    struct qed_modify *modify = qed_modify_of(blocks);
    struct qed_header *header = modify->header;
    uint32_t old_off = header->backing_off;
    uint32_t old_len = (header->features & QED_FEATURE_BACKING_FILE) != 0 ? header->backing_len : 0;
    bool is_short = QED_HEADER_LEN + name->len <= QED_SECTOR_LEN;
    RETURN_IF_FAILED(target_settle(target, error) && block_modify_begin(blocks, error));
    header->features &= ~(QED_FEATURE_BACKING_FILE | QED_FEATURE_BACKING_NO_PROBE);
    header->backing_off = 0;
    header->backing_len = name->len;
    if (name->is_set) {
        bool is_first_free = old_len == 0 || old_off >= NAME_OFF_SECOND || old_off + old_len <= NAME_OFF_FIRST;
        header->features |= QED_FEATURE_BACKING_FILE;
        header->features |= strcmp(format, "raw") == 0 ? QED_FEATURE_BACKING_NO_PROBE : 0;
        header->backing_off = is_short ? QED_HEADER_LEN : is_first_free ? NAME_OFF_FIRST : NAME_OFF_SECOND;
    }
    if (name->is_set && !is_short) {
        uint32_t len = (uint32_t)round_up(name->len, QED_SECTOR_LEN);
        memset(blocks->bounce, 0, len);
        memcpy(blocks->bounce, name->bytes, name->len);
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, header->backing_off, blocks->bounce, len, error));
        return qed_modify_write_header(modify, error);
    }
    RETURN_IF_FAILED(block_modify_flush(blocks, error));
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, target->file, 0, blocks->bounce, QED_SECTOR_LEN, error));
    qed_header_update(header, blocks->bounce);
    memcpy(blocks->bounce + QED_HEADER_LEN, name->bytes, name->len);
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, 0, blocks->bounce, QED_SECTOR_LEN, error));
    return block_modify_flush(blocks, error);
}

bool qed_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    static struct target_operations operations;
    struct qed_modify *modify;
    operations = block_modify_operations;
    operations.make_empty = qed_make_empty;
    operations.set_backing = qed_set_backing;
    RETURN_IF_FAILED(image_require_sound(image, error) && qed_modify_make(image, &modify, error));
    modify->blocks.target.operations = &operations;
    *ret_target = &modify->blocks.target;
    return true;
}

static bool grow(struct qed_modify *modify, const struct resize_plan *plan, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    RETURN_IF_FAILED(block_modify_clear_end(blocks, plan->virtual_len, error) && block_modify_begin(blocks, error));
    modify->header->image_len = plan->virtual_len;
    return qed_modify_write_header(modify, error) && block_modify_finish(&blocks->target, plan->sync, error);
}

/* As in QEMU a disk becomes longer only, and its file does not. */
bool qed_resize(struct image *image, const struct resize_plan *plan, struct error *error)
{
    struct qed_modify *modify;
    static const char *const modes[] = {"off", "metadata", "falloc", "full"};
    if (plan->preallocation != RESIZE_PREALLOCATE_OFF) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported preallocation mode '%s'",
                         modes[plan->preallocation]);
    }
    struct qed_header longer = *qed_header_of(image);
    longer.image_len = plan->virtual_len;
    if (!qed_header_is_len_valid(&longer)) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid image size specified");
    }
    if (plan->virtual_len < image->virtual_len) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Shrinking images is currently not supported");
    }
    RETURN_IF_FAILED(image_require_sound(image, error) && qed_modify_make(image, &modify, error));
    if (!grow(modify, plan, error)) {
        target_abandon(&modify->blocks.target);
        return false;
    }
    modify->header->file_len = round_down(image->file->len, modify->header->cluster_len);
    return true;
}
