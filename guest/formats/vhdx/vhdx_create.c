/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New files, as QEMU lays them out: headers and region tables in the first MiB, the log, the block allocation table,
 * metadata, and 4 MiB of room behind them; then blocks, in the order in which the disk has them. A new file's log is
 * empty, and its headers say so. The last to be written is the identifier at the start (2.2.1).
 *
 * A differencing disk has a bitmap before the first block of each chunk, of the sectors that are its own (2.5.1.2).
 * Zeros over something of the parent's are stored: libvhdi takes a block that is called zeros for the parent's.
 */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx.h"
#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/image/option_values.h"
#include "guest/image/uuid.h"
#include "guest/image/write/block_writer.h"
#include "guest/image/write/sector_bitmap_writer.h"
#include "guest/image/write/table_writer.h"

#define METADATA_LEN VHDX_MIB
/* Behind the table: metadata, and what may come. */
#define RESERVE_LEN (5 * VHDX_MIB)
#define BITMAP_LEN VHDX_MIB
#define CREATOR "instar"

struct vhdx_writer {
    struct block_writer blocks; /* first */
    struct table_writer table;
    struct vhdx_header header;
    struct vhdx_regions regions;
    struct vhdx_new_metadata metadata;
    struct vhdx_guid file_write_id;
    enum vhdx_block_state empty_state; /* of blocks that are not stored */
    uint64_t block_count;
    uint64_t told_count; /* blocks whose entries are in the table */
    uint8_t *locator;    /* of a child: VHDX_NEW_LOCATOR_LEN_MAX bytes; then its own sectors: */
    struct sector_bitmap_writer bits;
    uint64_t bitmap_off;   /* bytes; of the bitmap that the table does not tell of yet, 0: there is none */
    uint64_t bitmap_chunk; /* its chunk */
    uint64_t own_len;      /* bytes of the last block */
};

struct vhdx_options {
    bool is_fixed;
    bool has_no_zero_state;
    uint64_t block_len; /* 0: whichever fits the disk */
    uint64_t log_len;
};

/* Payload blocks whose sectors one bitmap has. */
static uint64_t chunk_blocks_of(const struct vhdx_metadata *metadata)
{
    return VHDX_CHUNK_SECTORS * metadata->sector_len / metadata->block_len;
}

/* The entry of the last chunk's bitmap, behind those of its payload blocks. */
static bool tell_bitmap(struct vhdx_writer *writer, struct error *error)
{
    uint64_t chunk_blocks = chunk_blocks_of(&writer->metadata.metadata);
    uint64_t index = writer->bitmap_chunk * (chunk_blocks + 1) + chunk_blocks;
    uint64_t off = writer->bitmap_off;
    writer->bitmap_off = 0;
    return off == 0 || table_writer_set(&writer->table, index, off | VHDX_PRESENT, error);
}

/* The entry of a payload block; behind as many as a chunk has comes that of a bitmap: 0 where there is none. */
static bool entry_set(struct vhdx_writer *writer, uint64_t block, uint64_t entry, struct error *error)
{
    uint64_t chunk_blocks = chunk_blocks_of(&writer->metadata.metadata);
    writer->told_count = block + 1;
    RETURN_IF_FAILED(block / chunk_blocks == writer->bitmap_chunk || tell_bitmap(writer, error));
    return table_writer_set(&writer->table, block + block / chunk_blocks, entry, error);
}

/* Blocks before `end` that nobody has placed. */
static bool tell_empty(struct vhdx_writer *writer, uint64_t end, struct error *error)
{
    while (writer->told_count < end) { /* ends: 2^26 blocks at most */
        uint64_t block = writer->told_count;
        uint64_t entry = writer->empty_state;
        if (writer->blocks.layout.is_flat) {
            entry = (writer->blocks.layout.data_off + block * writer->metadata.metadata.block_len) | VHDX_PRESENT;
        }
        RETURN_IF_FAILED(entry_set(writer, block, entry, error));
    }
    return true;
}

/* Makes the bitmap that has the block's sectors, of a differencing disk. */
static bool make_bitmap(struct vhdx_writer *writer, uint64_t block, struct error *error)
{
    uint64_t chunk = block / chunk_blocks_of(&writer->metadata.metadata);
    if (!writer->blocks.layout.has_backing || (writer->bitmap_off != 0 && writer->bitmap_chunk == chunk)) {
        return true;
    }
    RETURN_IF_FAILED(tell_bitmap(writer, error));
    writer->bitmap_chunk = chunk;
    return block_writer_append(&writer->blocks, BITMAP_LEN, 1, true, &writer->bitmap_off, error);
}

static bool vhdx_place_block(struct block_writer *blocks, uint64_t block, uint64_t *ret_off, struct error *error)
{
    struct vhdx_writer *writer = (struct vhdx_writer *)blocks;
    uint64_t state = blocks->layout.has_backing ? VHDX_PARTIALLY_PRESENT : VHDX_PRESENT;
    writer->own_len = 0;
    RETURN_IF_FAILED(tell_empty(writer, block, error) && make_bitmap(writer, block, error));
    RETURN_IF_FAILED(block_writer_append(blocks, blocks->layout.block_len, 1, false, ret_off, error));
    return entry_set(writer, block, *ret_off | state, error);
}

/* A block of which the image has all sectors is one that needs no bitmap (2.5.1.1). */
static bool vhdx_set_own(struct block_writer *blocks, uint64_t block, uint64_t in_block, uint64_t len,
                         struct error *error)
{
    struct vhdx_writer *writer = (struct vhdx_writer *)blocks;
    uint64_t block_len = blocks->layout.block_len;
    uint32_t sector_len = writer->metadata.metadata.sector_len;
    uint64_t in_chunk = block % chunk_blocks_of(&writer->metadata.metadata) * block_len + in_block;
    uint64_t disk_len = min_u64(block_len, blocks->target.virtual_len - block * block_len);
    writer->own_len += len;
    return sector_bitmap_writer_set(&writer->bits, writer->bitmap_off, in_chunk / sector_len, len / sector_len,
                                    error) &&
           (writer->own_len < disk_len || entry_set(writer, block, blocks->block_off | VHDX_PRESENT, error));
}

static bool write_metadata(struct vhdx_writer *writer, struct error *error)
{
    static uint8_t items[VHDX_METADATA_HEAD_LEN + VHDX_NEW_LOCATOR_LEN_MAX]; /* large: vCPU 0 only */
    uint8_t table[VHDX_METADATA_HEAD_LEN] = {0};
    uint64_t off = writer->regions.metadata.off;
    uint32_t locator_len = (uint32_t)writer->metadata.metadata.locator.len;
    memset(items, 0, sizeof(items));
    vhdx_metadata_emit(&writer->metadata, table, items);
    if (locator_len > 0) {
        memcpy(items + VHDX_LOCATOR_OFF, writer->locator, locator_len);
    }
    return block_writer_put(&writer->blocks, off, table, sizeof(table), error) &&
           block_writer_put(&writer->blocks, off + VHDX_METADATA_TABLE_LEN, items,
                            round_up(VHDX_LOCATOR_OFF + locator_len, VHDX_SECTOR_LEN), error);
}

/* Both copies of each: the second header is the current one. */
static bool write_headers(struct vhdx_writer *writer, struct error *error)
{
    static uint8_t table[VHDX_REGION_TABLE_LEN]; /* large: vCPU 0 only */
    uint8_t header[VHDX_HEADER_LEN] = {0};
    struct block_writer *blocks = &writer->blocks;
    memset(table, 0, sizeof(table));
    vhdx_region_table_emit(&writer->regions, table);
    /* Of the tables, what is not zero; the file reads as zeros there. */
    RETURN_IF_FAILED(block_writer_put(blocks, VHDX_REGION_TABLE_1_OFF, table, VHDX_SECTOR_LEN, error) &&
                     block_writer_put(blocks, VHDX_REGION_TABLE_2_OFF, table, VHDX_SECTOR_LEN, error));
    vhdx_header_emit(&writer->header, &writer->file_write_id, header);
    RETURN_IF_FAILED(block_writer_put(blocks, VHDX_HEADER_1_OFF, header, sizeof(header), error));
    writer->header.sequence++;
    memset(header, 0, sizeof(header));
    vhdx_header_emit(&writer->header, &writer->file_write_id, header);
    return block_writer_put(blocks, VHDX_HEADER_2_OFF, header, sizeof(header), error);
}

static bool vhdx_end_tables(struct block_writer *blocks, struct error *error)
{
    struct vhdx_writer *writer = (struct vhdx_writer *)blocks;
    return sector_bitmap_writer_end(&writer->bits, error) && tell_empty(writer, writer->block_count, error) &&
           tell_bitmap(writer, error) && table_writer_end(&writer->table, error) && write_metadata(writer, error) &&
           write_headers(writer, error);
}

static bool vhdx_write_identifier(struct block_writer *blocks, struct error *error)
{
    static const char creator[] = CREATOR;
    uint8_t identifier[VHDX_SECTOR_LEN] = "vhdxfile";
    for (size_t i = 0; i < sizeof(creator); i++) {
        identifier[8 + 2 * i] = (uint8_t)creator[i]; /* UTF-16 */
    }
    return block_writer_put(blocks, 0, identifier, sizeof(identifier), error);
}

static const struct block_writer_format vhdx_writer_format = {
    .place = vhdx_place_block,
    .set_own = vhdx_set_own,
    .end_tables = vhdx_end_tables,
    .write_header = vhdx_write_identifier,
};

/* Lengths are rounded, and refused, as by QEMU. */
static bool lens_check(struct vhdx_options *options, struct error *error)
{
    if (options->log_len > UINT32_MAX - VHDX_MIB + 1) {
        return error_set(error, ERROR_USAGE, NULL, "Log size must be smaller than 4 GB");
    }
    options->log_len = round_up(options->log_len, VHDX_MIB);
    if (options->log_len == 0) {
        return error_set(error, ERROR_USAGE, NULL, "Log size must be a multiple of 1 MB");
    }
    options->block_len = min_u64(options->block_len, VHDX_BLOCK_LEN_MAX);
    options->block_len = round_up(options->block_len, VHDX_MIB);
    if (options->block_len != 0 && !is_power_of_two(options->block_len)) {
        return error_set(error, ERROR_USAGE, NULL, "Block size must be a power of two");
    }
    return true;
}

static bool options_parse(const struct target_setup *setup, struct vhdx_options *ret_options, struct error *error)
{
    static const struct option_description descriptions[] = OPTION_DESCRIPTIONS(FORMAT_OPTIONS_VHDX);
    static const char *const subformats[] = {"dynamic", "fixed", NULL};
    const instar_FormatOption *options = setup->options;
    uint32_t count = setup->option_count;
    uint32_t subformat = 0;
    bool has_zero_state = true;
    struct vhdx_options parsed = {.log_len = VHDX_MIB};
    RETURN_IF_FAILED(options_check(options, count, descriptions, error) &&
                     options_check_file_preallocation(options, count, setup->file, error));
    const instar_FormatOption *option = options_find(options, count, "subformat");
    RETURN_IF_FAILED(option == NULL || option_choice(option, subformats, "subformat", &subformat, error));
    option = options_find(options, count, "log_size");
    RETURN_IF_FAILED(option == NULL || option_size(option, &parsed.log_len, error));
    option = options_find(options, count, "block_size");
    RETURN_IF_FAILED(option == NULL || option_size(option, &parsed.block_len, error));
    option = options_find(options, count, "block_state_zero");
    RETURN_IF_FAILED(option == NULL || option_flag(option, &has_zero_state, error));
    parsed.is_fixed = subformat == 1;
    parsed.has_no_zero_state = !has_zero_state;
    *ret_options = parsed;
    return true;
}

/* As QEMU chooses it. */
static uint32_t block_len_for(uint64_t disk_len)
{
    return disk_len > 32ull << 40    ? 64u << 20
           : disk_len > 100ull << 30 ? 32u << 20
           : disk_len > 1ull << 30   ? 16u << 20
                                     : 8u << 20;
}

static bool parent_take(const struct target_setup *setup, struct vhdx_writer *writer, struct error *error)
{
    const struct image *parent = setup->backing;
    uint32_t len = 0;
    const char *problem = NULL;
    writer->locator = arena_allocate(setup->environment->arena, VHDX_NEW_LOCATOR_LEN_MAX, 8);
    if (writer->locator == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    if (parent == NULL) {
        problem = "a differencing disk has its parent's identifier: the parent has to be there";
    } else if (parent->format != &vhdx_format) {
        problem = "the parent of a differencing disk has to be a vhdx image";
    } else if (parent->virtual_len != setup->virtual_len) {
        problem = "a differencing disk is as long as its parent";
    } else if (!vhdx_locator_emit(parent, &setup->backing_name, writer->locator, &len)) {
        problem = "the parent's name is not UTF-8, or too long";
    }
    if (problem == NULL) { /* sectors are what bits are for: as long as those of the parent (2.6.2.4) */
        writer->metadata.metadata.sector_len = vhdx_of(parent)->metadata.sector_len;
    }
    writer->metadata.metadata.has_parent = true;
    writer->metadata.metadata.locator.len = len;
    return problem == NULL || error_set(error, ERROR_USAGE, NULL, "%s", problem);
}

/* What the file says of itself, and where its parts are. */
static void layout_choose(const struct target_setup *setup, const struct vhdx_options *options,
                          struct vhdx_writer *writer)
{
    const uint8_t *random = setup->identity->random;
    struct vhdx_metadata *metadata = &writer->metadata.metadata;
    metadata->virtual_len = setup->virtual_len;
    metadata->sector_len = metadata->has_parent ? metadata->sector_len : VHDX_SECTOR_LEN;
    metadata->block_len = options->block_len != 0 ? (uint32_t)options->block_len : block_len_for(setup->virtual_len);
    writer->metadata.is_fixed = options->is_fixed;
    uint64_t chunk_blocks = chunk_blocks_of(metadata);
    writer->block_count = (metadata->virtual_len + metadata->block_len - 1) / metadata->block_len;
    uint64_t chunk_count = (writer->block_count + chunk_blocks - 1) / chunk_blocks;
    /*
     * The last chunk's bitmap has an entry only where there may be bitmaps (2.5). For a disk of no blocks, QEMU wants
     * as many entries as its 32 bits make of one chunk less than none.
     */
    uint64_t entry_count = writer->block_count + chunk_count - 1;
    if (writer->block_count == 0) {
        entry_count = UINT32_MAX / chunk_blocks;
    } else if (metadata->has_parent) {
        entry_count = chunk_count * (chunk_blocks + 1);
    }
    writer->header = (struct vhdx_header){.sequence = 1, .log_len = (uint32_t)options->log_len, .log_off = VHDX_MIB};
    uint64_t table_len = max_u64(round_up(entry_count * sizeof(struct le64), VHDX_MIB), VHDX_MIB);
    writer->regions.table = (struct vhdx_region){VHDX_MIB + options->log_len, table_len};
    writer->regions.metadata = (struct vhdx_region){writer->regions.table.off + table_len, METADATA_LEN};
    writer->empty_state = metadata->has_parent || options->has_no_zero_state ? VHDX_NOT_PRESENT : VHDX_ZERO;
    uuid_make(random, UUID_LITTLE_ENDIAN, writer->file_write_id.bytes);
    uuid_make(random + UUID_LEN, UUID_LITTLE_ENDIAN, writer->header.data_write_id.bytes);
    uuid_make(random + (size_t)2 * UUID_LEN, UUID_LITTLE_ENDIAN, writer->metadata.disk_id.bytes);
}

bool vhdx_create(const struct target_setup *setup, struct target **ret_target, struct error *error)
{
    struct arena *arena = setup->environment->arena;
    struct vhdx_options options;
    struct vhdx_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct vhdx_writer));
    bool is_child = setup->backing_name.is_set;
    RETURN_IF_FAILED(options_parse(setup, &options, error));
    RETURN_IF_FAILED(is_child || target_check_plain(setup, "vhdx", error));
    if (setup->virtual_len > VHDX_DISK_LEN_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Image size too large; max of 64TB");
    }
    RETURN_IF_FAILED(lens_check(&options, error));
    if (is_child && options.is_fixed) {
        return error_set(error, ERROR_USAGE, NULL, "a differencing disk does not take subformat=fixed");
    }
    if (writer == NULL) {
        return error_set(error, ERROR_LIMIT, setup->file->name, "no memory is left for the image");
    }
    RETURN_IF_FAILED(!is_child || parent_take(setup, writer, error));
    layout_choose(setup, &options, writer);
    struct vhdx_region table = writer->regions.table;
    struct block_writer_layout layout = {
        .format = &vhdx_writer_format,
        .block_len = writer->metadata.metadata.block_len,
        .data_off = table.off + table.len + RESERVE_LEN,
        .is_flat = options.is_fixed,
        .has_backing = is_child,
        /* As in QEMU, and readers want blocks whole: the last one, too. */
        .flat_len = writer->block_count * writer->metadata.metadata.block_len,
    };
    RETURN_IF_FAILED(block_writer_make(&writer->blocks, setup, &layout, error));
    writer->blocks.target.unit_len = writer->metadata.metadata.sector_len;
    uint64_t word_count = table.len / sizeof(struct le64);
    RETURN_IF_FAILED(
        table_writer_make(&writer->table, &writer->blocks.target, arena, BLOCK_TABLE_LE64, 0, word_count, error));
    table_writer_begin(&writer->table, table.off, 0, word_count);
    sector_bitmap_writer_init(&writer->bits, &writer->blocks, SECTOR_BITMAP_LOW_FIRST, BLOCK_WRITER_PUT_LEN);
    *ret_target = &writer->blocks.target;
    return true;
}
