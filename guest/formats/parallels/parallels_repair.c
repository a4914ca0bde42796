/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-img's repair: clusters that are outside of the file are none any more, the image was closed, and nothing is
 * behind its last cluster. In this order, so that whenever it ends, what a check finds is less than before.
 */
#include "base/checked.h"
#include "guest/formats/parallels/parallels.h"
#include "guest/image/finding.h"
#include "guest/image/write/block_modify.h"

struct parallels_repair {
    struct block_modify blocks;
    const struct parallels *parallels;
    const struct repair_plan *plan;
    struct findings findings;
    instar_CheckMessage *result;
    uint64_t end_off;
};

static const char *verb(bool is_fixed)
{
    return is_fixed ? "Repairing" : "ERROR";
}

static bool repair_cluster(struct parallels_repair *repair, uint64_t index, struct error *error)
{
    struct table_changes *changes = &repair->blocks.changes;
    bool is_fixed = repair->plan->fixes_errors;
    check_finding(&repair->findings, "%s cluster %llu is outside image", verb(is_fixed), (unsigned long long)index);
    if (!is_fixed) {
        repair->result->corruptions++;
        return true;
    }
    repair->result->corruptions_fixed++;
    if (table_changes_room(changes) == 0) {
        RETURN_IF_FAILED(block_modify_checkpoint(&repair->blocks, error));
    }
    return table_changes_set(changes, &repair->parallels->bat, index, 0, error);
}

static bool repair_clusters(struct parallels_repair *repair, struct error *error)
{
    const struct parallels_header *header = &repair->parallels->header;
    uint64_t file_len = round_up(repair->blocks.target.file->len, PARALLELS_SECTOR_LEN);
    uint64_t last_off = 0;
    uint64_t count = block_table_stored_count(&repair->parallels->bat);
    repair->end_off = header->cluster_len;
    for (uint64_t i = 0; i < count; i++) { /* ends: the header's check bounds it */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_read(repair->blocks.changes.cache, &repair->parallels->bat, i, &entry, error));
        uint64_t off = entry * header->unit_len;
        if (off > file_len) {
            RETURN_IF_FAILED(repair_cluster(repair, i, error));
            off = repair->plan->fixes_errors ? 0 : off;
        }
        if (off != 0) {
            repair->result->allocated_clusters++;
            repair->result->fragmented_clusters += last_off != 0 && last_off + header->cluster_len != off ? 1 : 0;
            repair->end_off = max_u64(repair->end_off, off + header->cluster_len);
        }
        last_off = off;
    }
    return block_modify_checkpoint(&repair->blocks, error) && block_modify_flush(&repair->blocks, error);
}

static void report_in_use(struct parallels_repair *repair)
{
    bool is_fixed = repair->plan->fixes_errors;
    if (repair->parallels->header.is_in_use) {
        check_finding(&repair->findings, "%s image was not closed correctly", verb(is_fixed));
        *(is_fixed ? &repair->result->corruptions_fixed : &repair->result->corruptions) += 1;
    }
}

static bool repair_in_use(struct parallels_repair *repair, struct error *error)
{
    struct block_modify *blocks = &repair->blocks;
    if (!repair->parallels->header.is_in_use || !repair->plan->fixes_errors) {
        return true;
    }
    RETURN_IF_FAILED(
        cache_read(blocks->changes.cache, blocks->target.file, 0, blocks->bounce, PARALLELS_SECTOR_LEN, error));
    parallels_header_set_in_use(blocks->bounce, false);
    ((struct parallels *)blocks->image->state)->header.is_in_use = false;
    return table_changes_store(&blocks->changes, 0, blocks->bounce, PARALLELS_SECTOR_LEN, error);
}

/* The file ends behind the metadata at least, whatever clusters there are. */
static bool repair_end(struct parallels_repair *repair, struct error *error)
{
    struct block_modify *blocks = &repair->blocks;
    const struct parallels_header *header = &repair->parallels->header;
    uint64_t file_len = round_up(blocks->target.file->len, PARALLELS_SECTOR_LEN);
    uint64_t table_end = PARALLELS_HEADER_LEN + repair->parallels->bat.count * sizeof(uint32_t);
    bool is_fixed = repair->plan->fixes_leaks && blocks->target.file->is_resizable;
    repair->result->has_image_end_offset = true;
    repair->result->image_end_offset = repair->end_off;
    if (file_len <= repair->end_off) {
        return true;
    }
    uint64_t leaked_len = file_len - repair->end_off;
    uint64_t count = divide_up(leaked_len, header->cluster_len);
    check_finding(&repair->findings, "%s space leaked at the end of the image %llu", verb(is_fixed),
                  (unsigned long long)leaked_len);
    if (!is_fixed) {
        repair->result->leaks += count;
        return true;
    }
    repair->result->leaks_fixed += count;
    uint64_t extension_end =
        header->extension_off != 0 ? header->extension_off + header->cluster_len : 0; /* read when it was opened */
    uint64_t end_off = max_u64(max_u64(repair->end_off, table_end), max_u64(header->data_off, extension_end));
    return end_off >= blocks->target.file->len || target_set_len(&blocks->target, blocks->target.file, end_off, error);
}

bool parallels_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                      struct error *error)
{
    static const struct block_modify_format format = {0};
    struct parallels_repair *repair =
        arena_allocate(image->environment->arena, sizeof(*repair), _Alignof(struct parallels_repair));
    if (repair == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left for the repair");
    }
    RETURN_IF_FAILED(block_modify_make(&repair->blocks, image, &format, parallels_of(image)->header.cluster_len,
                                       image->file->len, PARALLELS_SECTOR_LEN, error));
    repair->parallels = parallels_of(image);
    repair->plan = plan;
    repair->findings = (struct findings){plan->findings_max};
    repair->result = ret_result;
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = repair->parallels->header.entry_count;
    report_in_use(repair);
    return repair_clusters(repair, error) && repair_in_use(repair, error) && repair_end(repair, error) &&
           block_modify_flush(&repair->blocks, error);
}
