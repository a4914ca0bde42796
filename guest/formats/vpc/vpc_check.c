/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a dynamic or differencing VHD, which QEMU does not have: does each block have a place of its own within
 * the file, apart from the metadata, and is the footer at the end the one that the start has a copy of?
 *
 * All blocks take the same length in the file, L. Of two that begin in the same L bytes of the file, or in neighbouring
 * ones less than L apart, one overlaps the other. So one number for each L bytes of the file is all there is to
 * remember; windows of the file are looked at one after the other, so that memory does not grow with it.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/finding.h"
#include "guest/image/format_open.h"

#define WINDOW_SLOTS (1u << 18)
#define SLOT_EMPTY UINT32_MAX

struct vpc_checker {
    struct image *image;
    const struct vpc *vpc;
    instar_CheckMessage *result;
    struct findings *findings;
    uint64_t stored_len; /* L: bytes of a block in the file, with its bitmap */
    uint64_t next_off;   /* where a block behind the last one in the table's order would begin */
    uint64_t end_off;    /* of what is in use in the file */
    uint32_t *slots;     /* sector of the block that begins in each; one more at either end, for neighbours */
};

static void found(struct vpc_checker *checker, uint64_t index, const char *what)
{
    checker->result->corruptions++;
    check_finding(checker->findings, "ERROR: block %llu %s\n", (unsigned long long)index, what);
}

static bool overlaps(uint64_t a_off, uint64_t a_len, uint64_t b_off, uint64_t b_len)
{
    return a_off < b_off + b_len && b_off < a_off + a_len;
}

static bool is_in_metadata(const struct vpc_checker *checker, uint64_t off)
{
    const struct vpc *vpc = checker->vpc;
    return overlaps(off, checker->stored_len, 0, VPC_FOOTER_LEN) ||
           overlaps(off, checker->stored_len, vpc->footer.header_off, VPC_HEADER_LEN) ||
           overlaps(off, checker->stored_len, vpc->table.off, vpc->table.count * 4);
}

/* What is wrong with a block by itself, and what there is to count. */
static void look_at_block(struct vpc_checker *checker, uint64_t index, uint64_t off)
{
    uint64_t file_len = round_up(checker->image->file->len, VPC_SECTOR_LEN);
    checker->result->allocated_clusters++;
    if (checker->next_off != 0 && off != checker->next_off) {
        checker->result->fragmented_clusters++;
    }
    checker->next_off = off + checker->stored_len;
    checker->end_off = max_u64(checker->end_off, off + checker->stored_len);
    if (!range_is_within(off, checker->stored_len, file_len)) {
        found(checker, index, "is behind the end of the file");
    } else if (is_in_metadata(checker, off)) {
        found(checker, index, "overlaps the image's metadata");
    }
}

/*
 * Whether a block that begins at `off`, whose slot has this index, overlaps one that is remembered; it is remembered
 * from now on. Slot 0 is the one before the window: what is within it was told in the window before.
 */
static bool remember(struct vpc_checker *checker, uint32_t index, uint64_t off)
{
    uint32_t *here = &checker->slots[index];
    if (*here != SLOT_EMPTY) {
        return index > 0;
    }
    *here = (uint32_t)(off / VPC_SECTOR_LEN);
    bool is_before =
        index > 0 && here[-1] != SLOT_EMPTY && (uint64_t)here[-1] * VPC_SECTOR_LEN + checker->stored_len > off;
    bool is_behind = here[1] != SLOT_EMPTY && off + checker->stored_len > (uint64_t)here[1] * VPC_SECTOR_LEN;
    return is_before || is_behind;
}

/*
 * Looks at the blocks that begin in the window from slot `first_slot` on. Sets *ret_next_slot to the first slot behind
 * it that a block begins in; UINT64_MAX: none.
 */
static bool look_at_window(struct vpc_checker *checker, uint64_t first_slot, bool is_first, uint64_t *ret_next_slot,
                           struct error *error)
{
    const struct block_table *table = &checker->vpc->table;
    uint64_t step;
    uint64_t end_slot = first_slot + WINDOW_SLOTS;
    *ret_next_slot = UINT64_MAX;
    memset(checker->slots, 0xff, (WINDOW_SLOTS + 2) * sizeof(*checker->slots));
    for (uint64_t i = 0; i < table->count; i += step) { /* ends: step is 1 at least */
        uint64_t sector;
        RETURN_IF_FAILED(
            block_table_run(checker->image->environment->cache, table, i, table->count - i, 0, &sector, &step, error));
        if (sector == VPC_BLOCK_UNUSED) {
            continue;
        }
        step = 1;
        uint64_t off = sector * VPC_SECTOR_LEN;
        uint64_t slot = off / checker->stored_len;
        if (is_first) {
            look_at_block(checker, i, off);
        }
        if (slot >= end_slot) {
            *ret_next_slot = min_u64(*ret_next_slot, slot);
        } else if (slot + 1 >= first_slot && remember(checker, (uint32_t)(slot + 1 - first_slot), off)) {
            found(checker, i, "overlaps another block");
        }
    }
    return true;
}

static bool look_at_blocks(struct vpc_checker *checker, struct error *error)
{
    uint64_t next_slot;
    RETURN_IF_FAILED(look_at_window(checker, 0, true, &next_slot, error));
    while (next_slot != UINT64_MAX) { /* ends: it grows, and is less than 2^41 / stored_len */
        RETURN_IF_FAILED(look_at_window(checker, next_slot, false, &next_slot, error));
    }
    return true;
}

static bool look_at_footer(struct image *image, struct findings *findings, instar_CheckMessage *result,
                           struct error *error)
{
    uint8_t copy[VPC_FOOTER_LEN], footer[VPC_FOOTER_LEN];
    uint64_t file_len = round_up(image->file->len, VPC_SECTOR_LEN);
    RETURN_IF_FAILED(format_open_read(image, 0, copy, sizeof(copy), error));
    RETURN_IF_FAILED(format_open_read(image, file_len - VPC_FOOTER_LEN, footer, sizeof(footer), error));
    if (memcmp(copy, footer, sizeof(copy)) != 0) {
        result->corruptions++;
        check_finding(findings, "ERROR: the file does not end with the footer that it begins with\n");
    }
    return true;
}

bool vpc_check_blocks(struct image *image, struct findings *findings, instar_CheckMessage *ret_result,
                      uint64_t *ret_end_off, struct error *error)
{
    const struct vpc *vpc = vpc_of(image);
    struct vpc_checker checker = {
        .image = image,
        .vpc = vpc,
        .result = ret_result,
        .findings = findings,
        .stored_len = (uint64_t)vpc->header.bitmap_len + vpc->header.block_len,
        .end_off = max_u64(vpc->footer.header_off + VPC_HEADER_LEN, vpc->table.off + vpc->table.count * 4),
        .slots = arena_allocate(image->environment->arena, (WINDOW_SLOTS + 2) * sizeof(uint32_t), sizeof(uint32_t)),
    };
    if (checker.slots == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the check");
    }
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = (image->virtual_len + vpc->header.block_len - 1) / vpc->header.block_len;
    for (uint32_t i = 0; i < VPC_LOCATOR_COUNT && vpc->has_parent; i++) {
        const struct vpc_locator *locator = &vpc->header.locators[i];
        if (range_is_within(locator->data_off, locator->data_len, image->file->len)) {
            checker.end_off = max_u64(checker.end_off, locator->data_off + locator->data_len);
        }
    }
    RETURN_IF_FAILED(look_at_blocks(&checker, error));
    *ret_end_off = checker.end_off;
    return true;
}

bool vpc_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    uint64_t end_off;
    if (vpc_of(image)->is_fixed) { /* Opening has looked at all that there is. */
        return true;
    }
    struct findings findings = {findings_max};
    RETURN_IF_FAILED(vpc_check_blocks(image, &findings, ret_result, &end_off, error) &&
                     look_at_footer(image, &findings, ret_result, error));
    ret_result->has_image_end_offset = true;
    ret_result->image_end_offset = end_off + VPC_FOOTER_LEN;
    return true;
}
