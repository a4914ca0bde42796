/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The repair: the log replayed into the file, as by QEMU when it opens an image to write to it; and a copy of the
 * region table that is damaged, from the other one. QEMU reads the first copy alone.
 */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_modify.h"
#include "guest/image/finding.h"

static bool replay(struct image *image, struct error *error)
{
    struct vhdx_modify *modify;
    RETURN_IF_FAILED(vhdx_modify_make(image, &modify, error) && vhdx_replay(modify, error));
    struct block_modify *blocks = &modify->blocks;
    /* The file may have been made longer than the log wants it. */
    return !image->file->is_resizable || image->file->len <= blocks->kept_len ||
           target_set_len(&blocks->target, image->file, blocks->kept_len, error);
}

/* Whether one of the copies is damaged, which is not the one that the image was opened by: *ret_number. */
static bool find_damaged(struct image *image, bool *ret_found, uint32_t *ret_number, struct error *error)
{
    bool is_sound[VHDX_REGION_TABLE_COUNT];
    struct span bytes;
    for (uint32_t i = 0; i < VHDX_REGION_TABLE_COUNT; i++) {
        RETURN_IF_FAILED(vhdx_view_regions(image, i, &bytes, &is_sound[i], error));
    }
    *ret_found = is_sound[0] != is_sound[1];
    *ret_number = is_sound[0] ? 1 : 0;
    return true;
}

_Static_assert(VHDX_REGION_TABLE_LEN <= BLOCK_MODIFY_BOUNCE_LEN, "a table fits the buffer");

/* The copy with this number becomes the other one. Ended before that, it is damaged as before. */
static bool copy_regions(struct image *image, uint32_t number, struct error *error)
{
    struct vhdx_modify *modify;
    RETURN_IF_FAILED(vhdx_modify_make(image, &modify, error));
    struct block_modify *blocks = &modify->blocks;
    if (block_modify_begin(blocks, error) &&
        cache_read(blocks->changes.cache, image->file, vhdx_region_table_off(1 - number), blocks->bounce,
                   VHDX_REGION_TABLE_LEN, error) &&
        table_changes_store(&blocks->changes, vhdx_region_table_off(number), blocks->bounce, VHDX_REGION_TABLE_LEN,
                            error) &&
        block_modify_finish(&blocks->target, true, error)) {
        return true;
    }
    target_abandon(&blocks->target);
    return false;
}

bool vhdx_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                 struct error *error)
{
    struct findings findings = {plan->findings_max};
    bool is_damaged = false;
    uint32_t number;
    if (vhdx_of(image)->needs_replay) {
        RETURN_IF_FAILED(replay(image, error));
        ret_result->corruptions_fixed++;
    }
    RETURN_IF_FAILED(!plan->fixes_errors || find_damaged(image, &is_damaged, &number, error));
    if (is_damaged) {
        check_finding(&findings, "Repairing region table, copy %u", number + 1);
        RETURN_IF_FAILED(copy_regions(image, number, error));
        ret_result->corruptions_fixed++;
    }
    return vhdx_check(image, plan->findings_max, ret_result, error);
}
