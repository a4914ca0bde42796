/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a check finds, repaired (QEMU has none of it): a block with a number that no block can have is none any more; of
 * two with one number, the later one gets a copy of its own; the header's count is right. All of it is errors, and
 * nothing a leak.
 */
#include "base/checked.h"
#include "guest/formats/vdi/vdi_modify.h"
#include "guest/image/finding.h"

struct vdi_repair {
    struct vdi_modify *modify;
    struct findings findings;
    instar_CheckMessage *result;
};

static bool set_none(struct vdi_repair *repair, uint64_t block, struct error *error)
{
    repair->result->corruptions_fixed++;
    return table_changes_set(&repair->modify->blocks.changes, &repair->modify->vdi->map, block, VDI_ENTRY_NONE, error);
}

/* Which numbers blocks have: those that are given are nobody's then. */
static bool find_used(struct vdi_repair *repair, uint64_t stored_count, struct error *error)
{
    struct vdi_modify *modify = repair->modify;
    for (uint64_t block = 0; block < stored_count; block++) { /* ends: VDI_BLOCK_COUNT_MAX at most */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_read(modify->blocks.changes.cache, &modify->vdi->map, block, &entry, error));
        if (entry < modify->vdi->header.block_count) {
            modify->allocated_count++;
            (void)bit_set_add(&modify->used, entry);
        }
    }
    return true;
}

static bool repair_block(struct vdi_repair *repair, struct bit_set *seen, uint64_t block, struct error *error)
{
    struct vdi_modify *modify = repair->modify;
    const struct vdi_header *header = &modify->vdi->header;
    uint64_t entry;
    uint64_t off;
    RETURN_IF_FAILED(block_table_read(modify->blocks.changes.cache, &modify->vdi->map, block, &entry, error));
    if (entry >= VDI_ENTRY_NONE_MIN || (entry < header->block_count && !bit_set_add(seen, entry))) {
        return true;
    }
    if (table_changes_room(&modify->blocks.changes) == 0) {
        RETURN_IF_FAILED(block_modify_checkpoint(&modify->blocks, error));
    }
    if (entry >= header->block_count) {
        check_finding(&repair->findings, "Repairing block index %llu too large, is %llu", (unsigned long long)block,
                      (unsigned long long)entry);
        return set_none(repair, block, error);
    }
    if (!vdi_modify_has_free(modify)) {
        check_finding(&repair->findings, "ERROR: block index %llu also used by %llu", (unsigned long long)entry,
                      (unsigned long long)entry);
        repair->result->corruptions++;
        return true;
    }
    check_finding(&repair->findings, "Repairing block index %llu also used by %llu", (unsigned long long)entry,
                  (unsigned long long)entry);
    repair->result->corruptions_fixed++;
    return vdi_modify_take(modify, block, &off, error) &&
           block_modify_grow_to(&modify->blocks, off + VDI_BLOCK_LEN, error) &&
           block_modify_copy_within(&modify->blocks, header->data_off + entry * VDI_BLOCK_LEN, off, VDI_BLOCK_LEN,
                                    error);
}

/* Entries that the file does not have to its end would all be block 0. */
static bool complete_map(struct vdi_repair *repair, uint64_t stored_count, struct error *error)
{
    struct block_modify *blocks = &repair->modify->blocks;
    const struct vdi *vdi = repair->modify->vdi;
    if (stored_count == vdi->map.count) {
        return true;
    }
    check_finding(&repair->findings, "Repairing the block map, of which the file has %llu of its %llu entries",
                  (unsigned long long)stored_count, (unsigned long long)vdi->map.count);
    RETURN_IF_FAILED(
        block_modify_grow_to(blocks, vdi->map.off + vdi->map.count * block_table_word_len(vdi->map.word), error));
    for (uint64_t block = stored_count; block < vdi->map.count; block++) { /* ends: VDI_BLOCK_COUNT_MAX */
        if (table_changes_room(&blocks->changes) == 0) {
            RETURN_IF_FAILED(block_modify_checkpoint(blocks, error));
        }
        RETURN_IF_FAILED(set_none(repair, block, error));
    }
    return true;
}

static bool repair_all(struct vdi_repair *repair, struct image *image, struct error *error)
{
    struct vdi_modify *modify = repair->modify;
    struct bit_set seen;
    /* A last entry that the file has a part of is none. */
    uint64_t stored_count = block_table_stored_count(&modify->vdi->map);
    RETURN_IF_FAILED(bit_set_make(&seen, image->environment->arena, modify->vdi->header.block_count, error));
    RETURN_IF_FAILED(find_used(repair, stored_count, error));
    if (modify->allocated_count != modify->vdi->header.allocated_count) {
        check_finding(&repair->findings, "Repairing allocated blocks mismatch, is %u, should be %u",
                      modify->allocated_count, modify->vdi->header.allocated_count);
        repair->result->corruptions_fixed++;
    }
    RETURN_IF_FAILED(complete_map(repair, stored_count, error));
    for (uint64_t block = 0; block < stored_count; block++) { /* ends: likewise */
        RETURN_IF_FAILED(repair_block(repair, &seen, block, error));
    }
    return block_modify_checkpoint(&modify->blocks, error) && vdi_modify_write_count(modify, error) &&
           block_modify_finish(&modify->blocks.target, true, error);
}

bool vdi_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                struct error *error)
{
    struct vdi_repair repair = {.findings = {plan->findings_max}, .result = ret_result};
    if (!plan->fixes_errors) {
        return vdi_check(image, plan->findings_max, ret_result, error);
    }
    return vdi_modify_make(image, &repair.modify, error) && repair_all(&repair, image, error);
}
