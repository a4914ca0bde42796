/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New disks, as QEMU lays them out. A fixed one: the disk, and a footer. A dynamic one: a copy of the footer, the
 * dynamic disk header, the block allocation table, blocks with a bitmap of all ones before each, the footer. A
 * differencing one likewise, with the parent's name behind the table, and bits for the sectors that it has itself.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vpc/vpc.h"
#include "guest/formats/vpc/vpc_image.h"
#include "guest/image/option_values.h"
#include "guest/image/utf16_name.h"
#include "guest/image/uuid.h"
#include "guest/image/write/block_writer.h"
#include "guest/image/write/sector_bitmap_writer.h"
#include "guest/image/write/table_writer.h"

#define BLOCK_LEN (2u << 20)
#define BITMAP_LEN VPC_SECTOR_LEN
#define TABLE_OFF (VPC_FOOTER_LEN + VPC_HEADER_LEN)
#define ENTRIES_PER_SECTOR (VPC_SECTOR_LEN / 4u)

struct vpc_writer {
    struct block_writer blocks; /* first */
    struct table_writer table;
    struct vpc_new_footer footer;
    struct vpc_header header; /* of all that are not fixed */
    uint8_t bitmap[BITMAP_LEN];
    uint64_t bitmap_off; /* bytes; of a differencing disk's last block */
    struct sector_bitmap_writer bits;
    uint8_t locator[2 * FILE_NAME_LEN_MAX]; /* the parent's name */
};

struct vpc_options {
    bool is_fixed;
    bool forces_size;
};

static bool vpc_place(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct vpc_writer *writer = (struct vpc_writer *)blocks;
    uint64_t off;
    RETURN_IF_FAILED(block_writer_append(blocks, BITMAP_LEN + BLOCK_LEN, 1, false, &off, error));
    writer->bitmap_off = off;
    RETURN_IF_FAILED(blocks->layout.has_backing || block_writer_put(blocks, off, writer->bitmap, BITMAP_LEN, error));
    *ret_off = off + BITMAP_LEN;
    return table_writer_set(&writer->table, block, off / VPC_SECTOR_LEN, error);
}

static bool vpc_set_own(struct block_writer *blocks, uint64_t block, uint64_t in_block, uint64_t len,
                        struct error *error)
{
    struct vpc_writer *writer = (struct vpc_writer *)blocks;
    (void)block;
    return sector_bitmap_writer_set(&writer->bits, writer->bitmap_off, in_block / VPC_SECTOR_LEN, len / VPC_SECTOR_LEN,
                                    error);
}

static bool vpc_end_tables(struct block_writer *blocks, struct error *error)
{
    struct vpc_writer *writer = (struct vpc_writer *)blocks;
    uint64_t off;
    if (blocks->layout.is_flat) {
        return true;
    }
    RETURN_IF_FAILED(block_writer_append(blocks, VPC_FOOTER_LEN, 1, false, &off, error));
    return sector_bitmap_writer_end(&writer->bits, error) && table_writer_end(&writer->table, error);
}

static bool vpc_write_header(struct block_writer *blocks, struct error *error)
{
    const struct vpc_writer *writer = (const struct vpc_writer *)blocks;
    uint8_t footer[VPC_FOOTER_LEN];
    uint8_t header[VPC_HEADER_LEN];
    vpc_footer_emit(&writer->footer, footer);
    if (!blocks->layout.is_flat) {
        vpc_header_emit(&writer->header, header);
        RETURN_IF_FAILED(block_writer_put(blocks, VPC_FOOTER_LEN, header, sizeof(header), error) &&
                         block_writer_put(blocks, 0, footer, sizeof(footer), error));
    }
    /* A fixed disk's is at the file's end (target_check_end). On a device, others are found by the copy at the start.
     */
    return block_writer_put(blocks, blocks->next_off - VPC_FOOTER_LEN, footer, sizeof(footer), error);
}

static const struct block_writer_format vpc_writer_format = {
    .place = vpc_place,
    .set_own = vpc_set_own,
    .end_tables = vpc_end_tables,
    .write_header = vpc_write_header,
};

static bool options_parse(const struct target_setup *setup, struct vpc_options *ret_options, struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_VPC);
    static const char *const subformats[] = {"dynamic", "fixed", NULL};
    uint32_t subformat = 0;
    *ret_options = (struct vpc_options){0};
    RETURN_IF_FAILED(options_check(setup->options, setup->option_count, descriptions, error) &&
                     options_check_file_preallocation(setup->options, setup->option_count, setup->file, error));
    const instar_FormatOption *option = options_find(setup->options, setup->option_count, "subformat");
    RETURN_IF_FAILED(option == NULL || option_choice(option, subformats, "subformat", &subformat, error));
    ret_options->is_fixed = subformat == 1;
    option = options_find(setup->options, setup->option_count, "force_size");
    return option == NULL || option_flag(option, &ret_options->forces_size, error);
}

/*
 * The disk's length: that of the smallest geometry that has room for it, so that nothing of a source is lost; its own
 * where the largest geometry has not, or where the user wants it so.
 */
static bool len_choose(const struct target_setup *setup, struct vpc_writer *writer, bool forces_size,
                       struct error *error)
{
    struct vpc_geometry geometry = {0};
    uint64_t sectors = setup->virtual_len / VPC_SECTOR_LEN;
    uint64_t wanted = min_u64(sectors, vpc_geometry_sectors(&VPC_GEOMETRY_MAX));
    if (forces_size) {
        geometry = VPC_GEOMETRY_MAX;
    }
    /* Ends: a geometry of n sectors has no more than heads * sectors per track, 4,080, less than n. */
    for (uint64_t more = 0; !forces_size && wanted > vpc_geometry_sectors(&geometry); more++) {
        geometry = vpc_geometry_of(wanted + more);
    }
    if (vpc_geometry_sectors(&geometry) != vpc_geometry_sectors(&VPC_GEOMETRY_MAX)) {
        sectors = vpc_geometry_sectors(&geometry);
    } else if (sectors > VPC_DISK_SECTORS_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "%s",
                         setup->is_for_create ? "The image size is too large for file format 'vpc'"
                                              : "Disk size is too large, max size is 2040 GiB");
    }
    writer->footer = (struct vpc_new_footer){
        .footer = {.virtual_len = sectors * VPC_SECTOR_LEN},
        .geometry = geometry,
        .counts_bytes = forces_size,
    };
    return true;
}

/* The parent's name, its identifier, and the disk's length, which is the parent's. */
static bool parent_take(const struct target_setup *setup, struct vpc_writer *writer, struct error *error)
{
    const struct image *parent = setup->backing;
    struct vpc_header *header = &writer->header;
    const char *problem = NULL;
    size_t locator_len, name_len;
    if (parent == NULL) {
        problem = "a differencing disk has its parent's identifier: the parent has to be there";
    } else if (parent->format != &vpc_format) {
        problem = "the parent of a differencing disk has to be a vpc image";
    } else if (parent->virtual_len != setup->virtual_len) {
        problem = "a differencing disk is as long as its parent";
    } else if (!utf16_name_write(&setup->backing_name, UTF16_LITTLE_ENDIAN, writer->locator, sizeof(writer->locator),
                                 &locator_len)) {
        problem = "the parent's name is not UTF-8";
    }
    if (problem != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "%s", problem);
    }
    if (!utf16_name_write(&setup->backing_name, UTF16_BIG_ENDIAN, header->parent_name, sizeof(header->parent_name) - 2,
                          &name_len)) {
        memset(header->parent_name, 0, sizeof(header->parent_name)); /* too long: the locator has it */
    }
    header->parent_date_sec = vpc_of(parent)->footer.date_sec;
    memcpy(header->parent_id, vpc_of(parent)->footer.unique_id, sizeof(header->parent_id));
    header->locators[0] = (struct vpc_locator){
        .platform = VPC_PLATFORM_RELATIVE_NAME,
        .data_len = (uint32_t)locator_len,
    };
    writer->footer = (struct vpc_new_footer){
        .footer = {.virtual_len = parent->virtual_len},
        .geometry = vpc_geometry_of(parent->virtual_len / VPC_SECTOR_LEN),
        .counts_bytes = true,
    };
    return true;
}

static void footer_fill(const struct target_setup *setup, struct vpc_writer *writer, bool is_fixed)
{
    struct vpc_footer *footer = &writer->footer.footer;
    footer->type = is_fixed ? VPC_FIXED : setup->backing_name.is_set ? VPC_DIFFERENCING : VPC_DYNAMIC;
    footer->header_off = is_fixed ? UINT64_MAX : VPC_FOOTER_LEN;
    footer->date_sec = (uint32_t)(setup->identity->date_sec - VPC_EPOCH_SEC);
    uuid_make(setup->identity->random, UUID_BIG_ENDIAN, footer->unique_id);
}

/* The table, in whole sectors of entries, and the parent's name. */
static bool tables_begin(const struct target_setup *setup, struct vpc_writer *writer, uint64_t block_count,
                         struct error *error)
{
    struct table_writer *table = &writer->table;
    uint64_t count = round_up(block_count, ENTRIES_PER_SECTOR);
    struct vpc_locator *locator = &writer->header.locators[0];
    memset(writer->bitmap, 0xff, sizeof(writer->bitmap));
    sector_bitmap_writer_init(&writer->bits, &writer->blocks, SECTOR_BITMAP_HIGH_FIRST, BITMAP_LEN);
    writer->header.table_off = TABLE_OFF;
    writer->header.table_count = (uint32_t)block_count;
    writer->header.block_len = BLOCK_LEN;
    RETURN_IF_FAILED(table_writer_make(table, &writer->blocks.target, setup->environment->arena, BLOCK_TABLE_BE32,
                                       VPC_BLOCK_UNUSED, count, error));
    table_writer_begin(table, TABLE_OFF, 0, count);
    return locator->data_len == 0 || (block_writer_append(&writer->blocks, round_up(locator->data_len, VPC_SECTOR_LEN),
                                                          1, true, &locator->data_off, error) &&
                                      block_writer_put(&writer->blocks, locator->data_off, writer->locator,
                                                       round_up(locator->data_len, VPC_SECTOR_LEN), error));
}

bool vpc_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct vpc_options options;
    struct vpc_writer *writer = arena_allocate(setup->environment->arena, sizeof(*writer), _Alignof(struct vpc_writer));
    RETURN_IF_FAILED(options_parse(setup, &options, error));
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    bool is_child = setup->backing_name.is_set;
    RETURN_IF_FAILED(is_child || target_check_plain(setup, "vpc", error));
    if (is_child && (options.is_fixed || options.forces_size)) {
        return error_set(error, ERROR_USAGE, NULL, "a differencing disk takes neither subformat=fixed nor force_size");
    }
    RETURN_IF_FAILED(is_child ? parent_take(setup, writer, error)
                              : len_choose(setup, writer, options.forces_size, error));
    if (options.is_fixed && writer->footer.footer.virtual_len == 0 && !setup->is_for_create) {
        /* The footer is the first sector, where it tells of blocks: QEMU makes it, and then cannot open it. */
        return error_set(error, ERROR_USAGE, NULL, "a fixed disk of 0 bytes could not be read");
    }
    footer_fill(setup, writer, options.is_fixed);
    uint64_t disk_len = writer->footer.footer.virtual_len;
    uint64_t block_count = (disk_len + BLOCK_LEN - 1) / BLOCK_LEN; /* 1,044,480 at most */
    struct block_writer_layout layout = {
        .format = &vpc_writer_format,
        .block_len = BLOCK_LEN,
        .data_off = options.is_fixed ? 0 : TABLE_OFF + round_up(block_count * 4, VPC_SECTOR_LEN),
        .is_flat = options.is_fixed,
        .has_backing = is_child,
        .flat_len = disk_len + VPC_FOOTER_LEN,
    };
    RETURN_IF_FAILED(!options.is_fixed || target_check_end(setup, layout.flat_len, error));
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, setup, &layout, error));
    writer->blocks.target.virtual_len = disk_len;
    *ret_target = &writer->blocks.target;
    return options.is_fixed || tables_begin(setup, writer, block_count, error);
}
