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
#include "guest/image/sector_bitmap.h"

/* Of a fixed disk, which has no blocks. */
#define FIXED_BLOCK_LEN (2ull << 20)

struct vpc_modify {
    struct block_modify blocks; /* first */
    const struct vpc *vpc;
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

static bool vpc_place(struct block_modify *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    const struct vpc *vpc = modify_of(blocks)->vpc;
    uint64_t bitmap_len = vpc->header.bitmap_len;
    uint64_t off;
    RETURN_IF_FAILED(block_modify_append(blocks, bitmap_len + blocks->block_len, VPC_SECTOR_LEN, &off, error));
    if (off / VPC_SECTOR_LEN >= VPC_BLOCK_UNUSED) {
        return error_set(error, ERROR_UNSUPPORTED, blocks->target.file->name,
                         "the file would be longer than the numbers of its sectors reach");
    }
    RETURN_IF_FAILED(write_bitmap(blocks, off, bitmap_len, error));
    *ret_off = off + bitmap_len;
    return table_changes_set(&blocks->changes, &vpc->table, block, off / VPC_SECTOR_LEN, error);
}

/* Whether all sectors of the block are its own; if not, *ret_sector is the first of *ret_count that are not. */
static bool find_foreign(struct vpc_modify *modify, uint64_t bitmap_off, uint64_t *sector, uint64_t *ret_count,
                         struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    uint64_t sector_count = blocks->block_len / VPC_SECTOR_LEN;
    bool is_own = true;
    *ret_count = 0;
    while (is_own && *sector + *ret_count < sector_count) { /* ends: a run has a sector at least */
        *sector += *ret_count;
        RETURN_IF_FAILED(sector_bitmap_run(blocks->changes.cache, blocks->target.file, bitmap_off,
                                           SECTOR_BITMAP_HIGH_FIRST, *sector, sector_count - *sector, &is_own,
                                           ret_count, error));
    }
    *ret_count = is_own ? 0 : *ret_count;
    return true;
}

/* What the parent has of a block goes where it is: the sectors that the block has not. */
static bool copy_parent(struct vpc_modify *modify, uint64_t voff, uint64_t off, uint64_t sector, uint64_t count,
                        struct error *error)
{
    struct block_modify *blocks = &modify->blocks;
    uint64_t start = sector * VPC_SECTOR_LEN;
    uint64_t end = start + count * VPC_SECTOR_LEN;
    while (start < end) { /* ends: each round goes on by a part */
        uint32_t part_len = (uint32_t)min_u64(end - start, BLOCK_MODIFY_BOUNCE_LEN);
        RETURN_IF_FAILED(target_settle(&blocks->target, error));
        RETURN_IF_FAILED(
            image_read(blocks->image->backing, voff + start, blocks->bounce, part_len, &blocks->read_memory, error));
        RETURN_IF_FAILED(table_changes_store(&blocks->changes, off + start, blocks->bounce, part_len, error));
        start += part_len;
    }
    return true;
}

static bool vpc_touch(struct block_modify *blocks, uint64_t block, uint64_t off, struct error *error)
{
    struct vpc_modify *modify = modify_of(blocks);
    uint64_t bitmap_len = modify->vpc->header.bitmap_len;
    uint64_t sector = 0;
    uint64_t count;
    if (off == modify->whole_off) {
        return true;
    }
    RETURN_IF_FAILED(find_foreign(modify, off - bitmap_len, &sector, &count, error));
    modify->whole_off = off;
    if (count == 0) {
        return true;
    }
    /* Without a parent the bits say nothing: whoever left them empty reads the sectors all the same. */
    while (modify->vpc->has_parent && count > 0) { /* ends: each round goes on by a run of sectors */
        RETURN_IF_FAILED(copy_parent(modify, block * blocks->block_len, off, sector, count, error));
        sector += count;
        RETURN_IF_FAILED(find_foreign(modify, off - bitmap_len, &sector, &count, error));
    }
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
    return cache_read(blocks->changes.cache, blocks->target.file, 0, modify->footer, VPC_FOOTER_LEN, error);
}

static bool vpc_end(struct block_modify *blocks, struct error *error)
{
    struct file *file = blocks->target.file;
    if (!file->is_resizable) { /* the end of a device says nothing */
        return write_footer(modify_of(blocks), round_up(blocks->next_off, VPC_SECTOR_LEN), error);
    }
    uint64_t end_off = round_up(max_u64(blocks->kept_len, blocks->next_off + VPC_FOOTER_LEN), VPC_SECTOR_LEN);
    RETURN_IF_FAILED(block_modify_reach(blocks, end_off, error));
    return write_footer(modify_of(blocks), end_off - VPC_FOOTER_LEN, error);
}

bool vpc_modify_set_len(struct block_modify *blocks, uint64_t virtual_len, struct error *error)
{
    struct vpc_modify *modify = modify_of(blocks);
    vpc_footer_set_len(virtual_len, modify->footer);
    return table_changes_store(&blocks->changes, 0, modify->footer, VPC_FOOTER_LEN, error) &&
           block_modify_flush(blocks, error);
}

static const struct block_modify_format vpc_modify_format = {
    .find = vpc_find,
    .place = vpc_place,
    .touch = vpc_touch,
    .begin = vpc_begin,
    .end = vpc_end,
    .has_grown = vpc_has_grown,
};

static bool open_fixed(struct vpc_modify *modify, struct image *image, struct error *error)
{
    const struct file *file = image->file;
    if (image->virtual_len > round_up(file->len, VPC_SECTOR_LEN) - VPC_FOOTER_LEN) {
        return error_set(error, ERROR_MALFORMED, file->name,
                         "the image is damaged (the file ends before the disk does), and is not changed");
    }
    return block_modify_make(&modify->blocks, image, &vpc_fixed_format, FIXED_BLOCK_LEN, file->len, VPC_SECTOR_LEN,
                             error);
}

static bool open_dynamic(struct vpc_modify *modify, struct image *image, struct error *error)
{
    static instar_CheckMessage result; /* large */
    struct findings findings = {0};
    uint64_t end_off;
    result = (instar_CheckMessage){0};
    RETURN_IF_FAILED(vpc_check_blocks(image, &findings, &result, &end_off, error));
    if (result.corruptions > 0) {
        return error_set(error, ERROR_MALFORMED, image->file->name,
                         "the image is damaged (%llu of its blocks overlap others or metadata), and is not changed",
                         (unsigned long long)result.corruptions);
    }
    if (modify->vpc->has_parent && image->backing == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "a differencing disk is not changed without its parent");
    }
    RETURN_IF_FAILED(block_modify_make(&modify->blocks, image, &vpc_modify_format, modify->vpc->header.block_len,
                                       end_off, VPC_SECTOR_LEN, error));
    modify->blocks.tail_len = VPC_FOOTER_LEN;
    return true;
}

bool vpc_open_target(struct image *image, struct target **ret_target, struct error *error)
{
    struct vpc_modify *modify = arena_allocate(image->environment->arena, sizeof(*modify), _Alignof(struct vpc_modify));
    if (modify == NULL) {
        return error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
    }
    modify->vpc = vpc_of(image);
    RETURN_IF_FAILED(modify->vpc->is_fixed ? open_fixed(modify, image, error) : open_dynamic(modify, image, error));
    *ret_target = &modify->blocks.target;
    return true;
}
