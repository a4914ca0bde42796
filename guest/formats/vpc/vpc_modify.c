/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that exist, changed in place. New blocks go behind all others, with a bitmap of all ones, as QEMU has it. The
 * footer is at the file's end whenever the file has another length, and its copy at the start never changes.
 *
 * A block of a differencing disk may have some of its sectors only. The first write to it gives it all of them: those
 * of the parent first, and then the bits that say so.
 */
#include "guest/formats/vpc/vpc_modify.h"

#include <string.h>

#include "base/checked.h"
#include "guest/image/write/block_sectors.h"

/* Of a fixed disk, which has no blocks. */
#define FIXED_BLOCK_LEN (2ull << 20)

struct vpc_modify {
    struct block_modify blocks; /* first */
    struct vpc *vpc;
    uint64_t footer_off; /* where the footer is that was written since */
    uint64_t whole_off;  /* the last block that was seen to have all of its sectors; 0: none */
    uint8_t footer[VPC_FOOTER_LEN];
};

static struct vpc_modify *modify_of(struct block_modify *blocks)
{
    return (struct vpc_modify *)blocks;
}

static bool fixed_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                       struct error *error)
{
    (void)error;
    *ret_place = (struct block_modify_place){BLOCK_STORED, block * blocks->block_len};
    return true;
}

static const struct block_modify_format vpc_fixed_format = {
    .find = fixed_find,
};

static bool vpc_find(struct block_modify *blocks, uint64_t block, struct block_modify_place *ret_place,
                     struct error *error)
{
    const struct vpc *vpc = modify_of(blocks)->vpc;
    uint64_t sector;
    RETURN_IF_FAILED(table_changes_get(&blocks->changes, &vpc->table, block, &sector, error));
    *ret_place = sector != VPC_BLOCK_UNUSED
                     ? (struct block_modify_place){BLOCK_STORED, sector * VPC_SECTOR_LEN + vpc->header.bitmap_len}
                     : (struct block_modify_place){.kind = BLOCK_NONE};
    return true;
}

/* A bitmap of all ones. */
static bool write_bitmap(struct block_modify *blocks, uint64_t off, uint64_t len, struct error *error)
{
    for (uint64_t done_len = 0; done_len < len; done_len += BLOCK_MODIFY_BOUNCE_LEN) {
        uint32_t part_len = (uint32_t)min_u64(len - done_len, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(&blocks->target, error));
        memset(blocks->bounce, 0xff, part_len);
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, off + done_len, blocks->bounce, part_len, error));
    }
    return true;
}

bool vpc_modify_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    const struct vpc *vpc = modify_of(blocks)->vpc;
    uint64_t off;
    RETURN_IF_FAILED(
        block_modify_append(blocks, vpc->header.bitmap_len + blocks->block_len, VPC_SECTOR_LEN, &off, error));
    if (off / VPC_SECTOR_LEN >= VPC_BLOCK_UNUSED) {
        return error_set(error, ERROR_UNSUPPORTED, blocks->target.file->name,
                         "the file would be longer than the numbers of its sectors reach");
    }
    *ret_off = off;
    return table_changes_set(&blocks->changes, &vpc->table, block, off / VPC_SECTOR_LEN, error);
}

static bool vpc_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    uint64_t bitmap_len = modify_of(blocks)->vpc->header.bitmap_len;
    uint64_t off;
    RETURN_IF_FAILED(vpc_modify_place(blocks, block, &off, error) && write_bitmap(blocks, off, bitmap_len, error));
    *ret_off = off + bitmap_len;
    return true;
}

static bool vpc_touch(struct block_modify *blocks, uint64_t block, uint64_t off, struct error *error)
{
    struct vpc_modify *modify = modify_of(blocks);
    uint64_t bitmap_len = modify->vpc->header.bitmap_len;
    const struct block_sectors sectors = {off - bitmap_len, SECTOR_BITMAP_HIGH_FIRST, 0, VPC_SECTOR_LEN};
    uint64_t sector = 0;
    uint64_t count;
    if (off == modify->whole_off) {
        return true;
    }
    RETURN_IF_FAILED(block_sectors_find_foreign(blocks, &sectors, &sector, &count, error));
    modify->whole_off = off;
    if (count == 0) {
        return true;
    }
    /* Without a parent the bits say nothing: whoever left them empty reads the sectors all the same. */
    RETURN_IF_FAILED(!modify->vpc->has_parent || block_sectors_complete(blocks, &sectors, block, off, error));
    return block_modify_flush(blocks, error) && write_bitmap(blocks, off - bitmap_len, bitmap_len, error);
}

static bool write_footer(struct vpc_modify *modify, uint64_t off, struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, off, modify->footer, VPC_FOOTER_LEN, error));
    modify->footer_off = off;
    return true;
}

/* The last footer stood where blocks will be, and what nobody writes of these reads as zeros. */
static bool vpc_has_grown(struct block_modify *blocks, struct error *error)
{
    struct vpc_modify *modify = modify_of(blocks);
    uint64_t old_off = modify->footer_off;
    RETURN_IF_FAILED(
        write_footer(modify, round_down(blocks->target.file->len, VPC_SECTOR_LEN) - VPC_FOOTER_LEN, error));
    return old_off == 0 || block_modify_put_zeros(blocks, old_off, VPC_FOOTER_LEN, true, error);
}

static bool vpc_begin(struct block_modify *blocks, struct error *error)
{
    struct vpc_modify *modify = modify_of(blocks);
    struct vpc *vpc = modify->vpc;
    struct file *file = blocks->target.file;
    uint64_t off = vpc->is_copy_damaged ? round_up(file->len, VPC_SECTOR_LEN) - VPC_FOOTER_LEN : 0;
    RETURN_IF_FAILED(cache_read(blocks->changes.cache, file, off, modify->footer, VPC_FOOTER_LEN, error));
    if (!vpc->is_copy_damaged) {
        return true;
    }
    /* Before the one at the end goes. */
    vpc->is_copy_damaged = false;
    return table_changes_store(&blocks->changes, 0, modify->footer, VPC_FOOTER_LEN, error) &&
           block_modify_flush(blocks, error);
}

static bool vpc_end(struct block_modify *blocks, struct error *error)
{
    struct file *file = blocks->target.file;
    if (!file->is_resizable) { /* the end of a device says nothing */
        return write_footer(modify_of(blocks), round_up(blocks->next_off, VPC_SECTOR_LEN), error);
    }
    uint64_t end_off = round_up(max_u64(blocks->kept_len, blocks->next_off + VPC_FOOTER_LEN), VPC_SECTOR_LEN);
    RETURN_IF_FAILED(block_modify_grow_to(blocks, end_off, error));
    return write_footer(modify_of(blocks), end_off - VPC_FOOTER_LEN, error);
}

/* The footer is where the file will end: behind all that the table tells of. */
static bool vpc_abandon(struct block_modify *blocks, struct error *error)
{
    const struct file *file = blocks->target.file;
    uint64_t off = blocks->told_len - VPC_FOOTER_LEN;
    if (!blocks->has_begun || !file->is_resizable || file->len <= blocks->told_len) {
        return true;
    }
    return off % VPC_SECTOR_LEN == 0 && write_footer(modify_of(blocks), off, error) &&
           block_modify_flush(blocks, error);
}

bool vpc_modify_set_len(struct block_modify *blocks, uint64_t virtual_len, struct error *error)
{
    struct vpc_modify *modify = modify_of(blocks);
    vpc_footer_set_len(virtual_len, modify->footer);
    return table_changes_store(&blocks->changes, 0, modify->footer, VPC_FOOTER_LEN, error) &&
           block_modify_flush(blocks, error);
}

bool vpc_modify_cut(struct block_modify *blocks, struct error *error)
{
    uint64_t off = round_up(blocks->next_off, VPC_SECTOR_LEN);
    RETURN_IF_FAILED(block_modify_begin(blocks, error) && write_footer(modify_of(blocks), off, error) &&
                     block_modify_flush(blocks, error));
    blocks->kept_len = off + VPC_FOOTER_LEN;
    return true;
}

static const struct block_modify_format vpc_modify_format = {
    .find = vpc_find,
    .place = vpc_place,
    .touch = vpc_touch,
    .begin = vpc_begin,
    .end = vpc_end,
    .has_grown = vpc_has_grown,
    .abandon = vpc_abandon,
};

static bool open_fixed(struct image *image, struct block_modify **ret_blocks, struct error *error)
{
    const struct file *file = image->file;
    struct block_modify *blocks =
        arena_allocate(image->environment->arena, sizeof(*blocks), _Alignof(struct block_modify));
    if (blocks == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left to write to the image");
    }
    if (image->virtual_len > round_up(file->len, VPC_SECTOR_LEN) - VPC_FOOTER_LEN) {
        return error_set(error, ERROR_MALFORMED, file->name,
                         "the image is damaged (the file ends before the disk does), and is not changed");
    }
    *ret_blocks = blocks;
    return block_modify_make(blocks, image, &vpc_fixed_format, FIXED_BLOCK_LEN, file->len, VPC_SECTOR_LEN, error);
}

/* Counts them. */
static bool found(struct vpc_blocks *look, uint64_t index, uint64_t off, enum vpc_fault fault, struct error *error)
{
    uint64_t *count = look->owner;
    (void)index;
    (void)off;
    (void)fault;
    (void)error;
    (*count)++;
    return true;
}

bool vpc_modify_make(const struct vpc_blocks *look, struct block_modify **ret_blocks, struct error *error)
{
    struct image *image = look->image;
    struct vpc_modify *modify = arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct vpc_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    modify->vpc = vpc_of(image);
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image, &vpc_modify_format, modify->vpc->header.block_len,
                                       look->end_off, VPC_SECTOR_LEN, error));
    modify->blocks.tail_len = VPC_FOOTER_LEN;
    /* A block that goes on behind the footer: it is none of its bytes, and goes when the file gets longer. */
    modify->footer_off = look->has_footer_at_end && look->end_off > look->file_end_off ? look->file_end_off : 0;
    *ret_blocks = &modify->blocks;
    return true;
}

static bool open_dynamic(struct image *image, struct block_modify **ret_blocks, struct error *error)
{
    uint64_t fault_count = 0;
    struct vpc_blocks look = {.image = image, .found = found, .owner = &fault_count};
    RETURN_IF_FAILED(vpc_look_at_blocks(&look, error));
    if (fault_count > 0 || !look.has_tables_apart) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the image is damaged (%llu of its blocks overlap others or metadata), and is not changed",
                         (unsigned long long)fault_count);
    }
    if (vpc_of(image)->has_parent && image->backing == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "a differencing disk is not changed without its parent");
    }
    return vpc_modify_make(&look, ret_blocks, error);
}

bool vpc_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    struct block_modify *blocks;
    RETURN_IF_FAILED(vpc_of(image)->is_fixed ? open_fixed(image, &blocks, error) : open_dynamic(image, &blocks, error));
    *ret_target = &blocks->target;
    return true;
}
