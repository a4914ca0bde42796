/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All blocks take the same length in the file, L. Of two that begin in the same L bytes of the file, or in neighbouring
 * ones less than L apart, one overlaps the other. So one number for each L bytes of the file is all there is to
 * remember; windows of the file are looked at one after the other, so that memory does not grow with it.
 */
#include "guest/formats/vpc/vpc_blocks.h"

#include <string.h>

#include "base/checked.h"
#include "guest/image/format_open.h"

#define WINDOW_SLOTS (1u << 18)
#define SLOT_EMPTY UINT32_MAX

const char *vpc_fault_text(enum vpc_fault fault)
{
    switch (fault) {
    case VPC_IN_METADATA:
        return "overlaps the image's metadata";
    case VPC_OVERLAPS:
        return "overlaps another block";
    case VPC_CUT:
        return "ends behind the end of the file";
    case VPC_BEHIND_END:
    default:
        return "is behind the end of the file";
    }
}

static bool overlaps(uint64_t a_off, uint64_t a_len, uint64_t b_off, uint64_t b_len)
{
    return a_off < b_off + b_len && b_off < a_off + a_len;
}

/* Where the file has the name that a locator leads to; none of its bytes: it has none. */
static uint64_t locator_len(const struct image *image, const struct vpc_locator *locator)
{
    return range_is_within(locator->data_off, locator->data_len, image->file->len) ? locator->data_len : 0;
}

static bool is_in_metadata(const struct vpc_blocks *blocks, uint64_t off)
{
    const struct vpc *vpc = vpc_of(blocks->image);
    bool is_within = overlaps(off, blocks->stored_len, 0, VPC_FOOTER_LEN) ||
                     overlaps(off, blocks->stored_len, vpc->footer.header_off, VPC_HEADER_LEN) ||
                     overlaps(off, blocks->stored_len, vpc->table.off, vpc->table.count * VPC_ENTRY_LEN);
    for (uint32_t i = 0; i < VPC_LOCATOR_COUNT && vpc->has_parent; i++) {
        const struct vpc_locator *locator = &vpc->header.locators[i];
        uint64_t len = locator_len(blocks->image, locator);
        is_within = is_within || (len != 0 && overlaps(off, blocks->stored_len, locator->data_off, len));
    }
    return is_within;
}

/* What is wrong with a block by itself; false: nothing. */
static bool find_fault(const struct vpc_blocks *blocks, uint64_t off, enum vpc_fault *ret_fault)
{
    if (off >= blocks->file_end_off || blocks->file_end_off - off <= vpc_of(blocks->image)->header.bitmap_len) {
        *ret_fault = VPC_BEHIND_END;
    } else if (is_in_metadata(blocks, off)) {
        *ret_fault = VPC_IN_METADATA;
    } else if (blocks->file_end_off - off < blocks->stored_len) {
        *ret_fault = VPC_CUT;
    } else {
        return false;
    }
    return true;
}

/* Counts a block, and tells what is wrong with it by itself. */
static bool look_at_block(struct vpc_blocks *blocks, uint64_t index, uint64_t off, struct error *error)
{
    enum vpc_fault fault;
    bool has_fault = find_fault(blocks, off, &fault);
    blocks->count++;
    blocks->fragmented_count += blocks->next_off != 0 && off != blocks->next_off ? 1 : 0;
    blocks->next_off = off + blocks->stored_len;
    if (!has_fault || fault != VPC_BEHIND_END) {
        blocks->end_off = max_u64(blocks->end_off, off + blocks->stored_len);
    }
    return !has_fault || blocks->found(blocks, index, off, fault, error);
}

/*
 * Whether a block that begins at `off`, whose slot has this index, overlaps one that is remembered; it is remembered
 * from now on. Slot 0 is the one before the window: what is within it was told in the window before.
 */
static bool remember(struct vpc_blocks *blocks, uint32_t index, uint64_t off)
{
    uint32_t *here = &blocks->slots[index];
    if (*here != SLOT_EMPTY) {
        return index > 0;
    }
    *here = (uint32_t)(off / VPC_SECTOR_LEN);
    bool is_before =
        index > 0 && here[-1] != SLOT_EMPTY && (uint64_t)here[-1] * VPC_SECTOR_LEN + blocks->stored_len > off;
    bool is_behind = here[1] != SLOT_EMPTY && off + blocks->stored_len > (uint64_t)here[1] * VPC_SECTOR_LEN;
    return is_before || is_behind;
}

/* Whether a block is one of those that overlap others at most. */
static bool may_overlap(const struct vpc_blocks *blocks, uint64_t off)
{
    enum vpc_fault fault;
    return !find_fault(blocks, off, &fault) || fault == VPC_CUT;
}

/*
 * Looks at the blocks that begin in the window from slot `first_slot` on. Sets *ret_next_slot to the first slot behind
 * it that a block begins in; UINT64_MAX: none.
 */
static bool look_at_window(struct vpc_blocks *blocks, uint64_t first_slot, bool is_first, uint64_t *ret_next_slot,
                           struct error *error)
{
    const struct block_table *table = &vpc_of(blocks->image)->table;
    struct cache *cache = blocks->image->environment->cache;
    uint64_t step;
    uint64_t end_slot = first_slot + WINDOW_SLOTS;
    *ret_next_slot = UINT64_MAX;
    memset(blocks->slots, 0xff, (WINDOW_SLOTS + 2) * sizeof(*blocks->slots));
    for (uint64_t i = 0; i < table->count; i += step) { /* ends: step is 1 at least */
        uint64_t sector;
        RETURN_IF_FAILED(block_table_run(cache, table, i, table->count - i, 0, &sector, &step, error));
        if (sector == VPC_BLOCK_UNUSED) {
            continue;
        }
        step = 1;
        uint64_t off = sector * VPC_SECTOR_LEN;
        uint64_t slot = off / blocks->stored_len;
        RETURN_IF_FAILED(!is_first || look_at_block(blocks, i, off, error));
        if (!may_overlap(blocks, off)) {
            continue;
        }
        if (slot >= end_slot) {
            *ret_next_slot = min_u64(*ret_next_slot, slot);
        } else if (slot + 1 >= first_slot && remember(blocks, (uint32_t)(slot + 1 - first_slot), off)) {
            RETURN_IF_FAILED(blocks->found(blocks, i, off, VPC_OVERLAPS, error));
        }
    }
    return true;
}

static bool look_at_footer(struct vpc_blocks *blocks, struct error *error)
{
    uint8_t copy[VPC_FOOTER_LEN], footer[VPC_FOOTER_LEN];
    struct image *image = blocks->image;
    uint64_t file_len = round_up(image->file->len, VPC_SECTOR_LEN);
    RETURN_IF_FAILED(format_open_read(image, 0, copy, sizeof(copy), error));
    RETURN_IF_FAILED(format_open_read(image, file_len - VPC_FOOTER_LEN, footer, sizeof(footer), error));
    blocks->has_footer_at_end = vpc_of(image)->is_copy_damaged || memcmp(copy, footer, sizeof(copy)) == 0;
    blocks->file_end_off = file_len - (blocks->has_footer_at_end ? VPC_FOOTER_LEN : 0);
    return true;
}

/*
 * A device may be longer than the image that it has: the footer is behind all that is used, then, as vpc_modify.c has
 * it. Of devices, the host tells no storage.
 */
static bool look_at_footer_behind(struct vpc_blocks *blocks, struct error *error)
{
    uint8_t copy[VPC_FOOTER_LEN], footer[VPC_FOOTER_LEN];
    struct image *image = blocks->image;
    bool may_be_device = !image->file->is_resizable && image->file->allocated_len == 0;
    uint64_t off = round_up(blocks->end_off, VPC_SECTOR_LEN);
    if (blocks->has_footer_at_end || !may_be_device || !range_is_within(off, VPC_FOOTER_LEN, image->file->len)) {
        return true;
    }
    RETURN_IF_FAILED(format_open_read(image, 0, copy, sizeof(copy), error));
    RETURN_IF_FAILED(format_open_read(image, off, footer, sizeof(footer), error));
    blocks->has_footer_at_end = memcmp(copy, footer, sizeof(copy)) == 0;
    return true;
}

static void look_at_metadata(struct vpc_blocks *blocks)
{
    const struct vpc *vpc = vpc_of(blocks->image);
    uint64_t table_len = vpc->table.count * VPC_ENTRY_LEN;
    uint64_t header_off = vpc->footer.header_off;
    blocks->has_tables_apart = header_off >= VPC_FOOTER_LEN && vpc->table.off >= VPC_FOOTER_LEN &&
                               !overlaps(header_off, VPC_HEADER_LEN, vpc->table.off, table_len);
    blocks->end_off = max_u64(header_off + VPC_HEADER_LEN, vpc->table.off + table_len);
    for (uint32_t i = 0; i < VPC_LOCATOR_COUNT && vpc->has_parent; i++) {
        const struct vpc_locator *locator = &vpc->header.locators[i];
        uint64_t len = locator_len(blocks->image, locator);
        blocks->end_off = len != 0 ? max_u64(blocks->end_off, locator->data_off + len) : blocks->end_off;
    }
}

bool vpc_look_at_blocks(struct vpc_blocks *blocks, struct error *error)
{
    struct vpc *vpc = vpc_of(blocks->image);
    uint64_t next_slot;
    if (vpc->slots == NULL) {
        vpc->slots = arena_allocate(blocks->image->environment->arena, (WINDOW_SLOTS + 2) * sizeof(*vpc->slots),
                                    sizeof(*vpc->slots));
    }
    if (vpc->slots == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left to look at all blocks");
    }
    blocks->slots = vpc->slots;
    blocks->stored_len = (uint64_t)vpc->header.bitmap_len + vpc->header.block_len;
    blocks->count = blocks->fragmented_count = blocks->next_off = 0;
    RETURN_IF_FAILED(look_at_footer(blocks, error));
    look_at_metadata(blocks);
    RETURN_IF_FAILED(look_at_window(blocks, 0, true, &next_slot, error));
    while (next_slot != UINT64_MAX) { /* ends: it grows, and is less than 2^41 / stored_len */
        RETURN_IF_FAILED(look_at_window(blocks, next_slot, false, &next_slot, error));
    }
    return look_at_footer_behind(blocks, error);
}
