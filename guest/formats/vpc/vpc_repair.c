/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a check finds, repaired (QEMU has none of it), without changing what the disk shows where that is known: the
 * copy of the footer at the start comes from the end; a block that overlaps another one, or metadata, gets a copy of
 * its own; one of which the file has nothing is none any more, and of which it has the start goes on with zeros; the
 * footer is at the end. All of that is errors, and space behind the last block is leaked.
 */
#include "base/checked.h"
#include "guest/formats/vpc/vpc_modify.h"
#include "guest/image/finding.h"

struct vpc_repair {
    struct block_modify *blocks; /* NULL: the first look, at what there is */
    struct findings findings;
    instar_CheckMessage *result;
    uint64_t fault_count;
};

static bool repair_block(struct vpc_repair *repair, const struct vpc_blocks *look, uint64_t index, uint64_t off,
                         enum vpc_fault fault, struct error *error)
{
    struct block_modify *blocks = repair->blocks;
    uint64_t new_off;
    if (fault == VPC_CUT) {
        return true; /* the footer's place is behind all of it, and the file as long as that */
    }
    RETURN_IF_FAILED(table_changes_room(&blocks->changes) > 0 || block_modify_checkpoint(blocks, error));
    if (fault == VPC_BEHIND_END) {
        return table_changes_set(&blocks->changes, &vpc_of(look->image)->table, index, VPC_BLOCK_UNUSED, error);
    }
    return vpc_modify_place(blocks, index, &new_off, error) &&
           block_modify_copy_within(blocks, off, new_off, look->stored_len, error);
}

static bool found(struct vpc_blocks *look, uint64_t index, uint64_t off, enum vpc_fault fault, struct error *error)
{
    struct vpc_repair *repair = look->owner;
    repair->fault_count++;
    if (repair->blocks == NULL) {
        return true;
    }
    check_finding(&repair->findings, "Repairing block %llu, which %s", (unsigned long long)index,
                  vpc_fault_text(fault));
    repair->result->corruptions_fixed++;
    return repair_block(repair, look, index, off, fault, error);
}

static void told(struct vpc_repair *repair, const char *what)
{
    check_finding(&repair->findings, "Repairing %s", what);
    repair->result->corruptions_fixed++;
}

/* The dynamic disk header's checksum; where it begins within a sector it stays as it is. */
static bool repair_header(struct vpc_repair *repair, struct vpc *vpc, struct error *error)
{
    struct block_modify *blocks = repair->blocks;
    uint64_t off = vpc->footer.header_off;
    if (vpc->header.sum_fits || off % VPC_SECTOR_LEN != 0) {
        return true;
    }
    told(repair, "the checksum of the dynamic disk header, which is wrong");
    RETURN_IF_FAILED(target_settle(&blocks->target, error) && cache_read(blocks->changes.cache, blocks->target.file,
                                                                         off, blocks->bounce, VPC_HEADER_LEN, error));
    vpc_header_set_table(vpc->header.table_off, vpc->header.table_count, blocks->bounce);
    vpc->header.sum_fits = true;
    return table_changes_store(&blocks->changes, off, blocks->bounce, VPC_SECTOR_LEN, error);
}

static bool repair_errors(struct vpc_repair *repair, struct vpc_blocks *look, struct error *error)
{
    struct vpc *vpc = vpc_of(look->image);
    bool has_footer_at_end = look->has_footer_at_end;
    if (vpc->is_copy_damaged) {
        told(repair, "the copy of the footer that the file begins with");
    }
    RETURN_IF_FAILED(block_modify_begin(repair->blocks, error) && repair_header(repair, vpc, error) &&
                     vpc_look_at_blocks(look, error));
    if (!has_footer_at_end) {
        told(repair, "the footer that the file ends with");
    }
    return block_modify_checkpoint(repair->blocks, error);
}

/* Bytes behind the last block, if they are as many as a block has at least. */
static uint64_t leaked_len(const struct vpc_blocks *look)
{
    uint64_t end_off = round_up(look->end_off, VPC_SECTOR_LEN);
    uint64_t len = look->file_end_off > end_off ? look->file_end_off - end_off : 0;
    return look->image->file->is_resizable && len >= look->stored_len ? len : 0;
}

static bool repair_leaks(struct vpc_repair *repair, const struct vpc_blocks *look, struct error *error)
{
    uint64_t len = leaked_len(look);
    check_finding(&repair->findings, "Repairing space leaked at the end of the image %llu", (unsigned long long)len);
    repair->result->leaks_fixed += len / look->stored_len;
    return vpc_modify_cut(repair->blocks, error);
}

bool vpc_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                struct error *error)
{
    struct vpc *vpc = vpc_of(image);
    struct vpc_repair repair = {.findings = {plan->findings_max}, .result = ret_result};
    struct vpc_blocks look = {.image = image, .found = found, .owner = &repair};
    if (vpc->is_fixed) {
        return true;
    }
    RETURN_IF_FAILED(vpc_look_at_blocks(&look, error));
    bool has_errors =
        vpc->is_copy_damaged || !vpc->header.sum_fits || !look.has_footer_at_end || repair.fault_count > 0;
    bool repairs_errors = has_errors && plan->fixes_errors && look.has_tables_apart;
    bool repairs_leaks = !has_errors && look.has_tables_apart && plan->fixes_leaks && leaked_len(&look) > 0;
    if (repairs_errors || repairs_leaks) {
        RETURN_IF_FAILED(vpc_modify_make(&look, &repair.blocks, error));
        struct target *target = &repair.blocks->target;
        if (!(repairs_errors ? repair_errors(&repair, &look, error) : repair_leaks(&repair, &look, error)) ||
            !block_modify_finish(target, true, error)) {
            target_abandon(target);
            return false;
        }
    }
    /* What was repaired is followed by a check anyway. */
    return ret_result->corruptions_fixed > 0 || ret_result->leaks_fixed > 0 ||
           vpc_check(image, plan->findings_max, ret_result, error);
}
