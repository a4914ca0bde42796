/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_map.h"

#include <stdio.h>

#include "guest/formats/vmdk/vmdk_sesparse_header.h"
#include "guest/image/tables/block_table.h"
#include "guest/image/tables/extent_end.h"
#include "guest/runtime/messages.h"

/* The entry that stands for zeros, where the header says that there are such. */
#define ENTRY_ZEROED 1u
/* From one grain number in a seSparse table to the next: it counts in bits 48 to 59, and goes on elsewhere then. */
#define SESPARSE_STEP (1ull << 48)
#define SESPARSE_STEP_COUNT 4096u

struct vmdk_extent *vmdk_find_extent(const struct vmdk *vmdk, uint64_t voff)
{
    uint32_t first = 0;
    uint32_t end = vmdk->extent_count;
    while (first + 1 < end) { /* ends: the range of what it can be is halved */
        uint32_t middle = first + (end - first) / 2;
        if (voff < vmdk->extents[middle].voff) {
            end = middle;
        } else {
            first = middle;
        }
    }
    return &vmdk->extents[first];
}

/* The same, and mostly it is the one of the last time. */
static struct vmdk_extent *find_again(struct vmdk *vmdk, uint64_t voff)
{
    struct vmdk_extent *extent = &vmdk->extents[vmdk->current];
    if (voff < extent->voff || voff - extent->voff >= extent->len) {
        extent = vmdk_find_extent(vmdk, voff);
        vmdk->current = (uint32_t)(extent - vmdk->extents);
    }
    return extent;
}

static enum block_table_word word_of(const struct vmdk_extent *extent)
{
    return extent->tables.is_sesparse ? BLOCK_TABLE_LE64 : BLOCK_TABLE_LE32;
}

/* Bytes of the file as QEMU counts them: a last sector that is not whole is. */
static uint64_t file_len_of(const struct vmdk_extent *extent)
{
    return round_up(extent->file->len, VMDK_SECTOR_LEN);
}

static struct block_table directory_of(const struct vmdk_extent *extent, uint64_t off)
{
    return (struct block_table){extent->file, off, extent->tables.directory_count, word_of(extent)};
}

static bool directory_is_within(const struct vmdk_extent *extent, uint64_t off)
{
    const struct vmdk_tables *tables = &extent->tables;
    return range_is_within(off, tables->directory_count * block_table_word_len(word_of(extent)), file_len_of(extent));
}

static bool table_is_within(const struct vmdk_extent *extent, uint64_t off)
{
    const struct vmdk_tables *tables = &extent->tables;
    uint64_t len = (uint64_t)tables->table_count * block_table_word_len(word_of(extent));
    return range_is_within(off, len, file_len_of(extent));
}

/* Whether an entry of a directory leads to a table, whose offset is *ret_off; an entry of 0 does not. */
static bool table_place(const struct vmdk_extent *extent, uint64_t entry, uint64_t *ret_off)
{
    const struct vmdk_tables *tables = &extent->tables;
    uint64_t off = entry * VMDK_SECTOR_LEN; /* 32 bits */
    uint64_t index;
    if (tables->is_sesparse) {
        uint64_t table_len = (uint64_t)tables->table_count * block_table_word_len(BLOCK_TABLE_LE64);
        if (vmdk_sesparse_directory_entry(entry, &index) != VMDK_SESPARSE_STORED ||
            !checked_add(tables->tables_off, index * table_len, &off)) {
            return false;
        }
    }
    if (entry == 0 || !table_is_within(extent, off)) {
        return false;
    }
    *ret_off = off;
    return true;
}

static void warn_of_directory(struct vmdk_extent *extent)
{
    if (extent->has_warned) {
        return;
    }
    extent->has_warned = true;
    static instar_GuestMessage message; /* large: vCPU 0 only */
    message = (instar_GuestMessage){
        .which_kind = instar_GuestMessage_warning_tag,
        .kind.warning.device = extent->file->device,
    };
    snprintf(message.kind.warning.text, sizeof(message.kind.warning.text),
             "the grain directory is damaged: the redundant one is used");
    messages_post(&message);
}

/* An entry of the directory, and how many more from it on are the same. */
static bool read_entry(struct image *image, const struct vmdk_extent *extent, uint64_t directory_off, uint64_t index,
                       uint64_t count_max, uint64_t *ret_entry, uint64_t *ret_count, struct error *error)
{
    struct block_table directory = directory_of(extent, directory_off);
    if (!directory_is_within(extent, directory_off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the grain directory at %llu ends behind the file's end",
                         (unsigned long long)directory_off);
    }
    return block_table_run(image->environment->cache, &directory, index, count_max, 0, ret_entry, ret_count, error);
}

/*
 * The table of directory entry `index`. *ret_off is 0 when there is none, for so many entries from this one on as
 * *ret_count says. A redundant directory is asked when the first one has no table, or one that cannot be there.
 */
static bool find_table(struct image *image, struct vmdk_extent *extent, uint64_t index, uint64_t count_max,
                       uint64_t *ret_off, uint64_t *ret_count, struct error *error)
{
    const struct vmdk_tables *tables = &extent->tables;
    struct error failure = {0};
    uint64_t entry = 0;
    uint64_t count = 1;
    bool is_read = read_entry(image, extent, tables->directory_off, index, count_max, &entry, &count, &failure);
    *ret_count = count;
    if (is_read && table_place(extent, entry, ret_off)) {
        return true;
    }
    if (tables->has_redundant) {
        struct error ignored = {0};
        uint64_t other;
        uint64_t other_count;
        if (read_entry(image, extent, tables->redundant_off, index, count, &other, &other_count, &ignored)) {
            if (table_place(extent, other, ret_off)) {
                warn_of_directory(extent);
                return true;
            }
            *ret_count = min_u64(count, other_count);
        }
    }
    if (!is_read) {
        *error = failure;
        return false;
    }
    if (entry != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "entry %llu of the grain directory, %#llx, leads to no table",
                         (unsigned long long)index, (unsigned long long)entry);
    }
    *ret_off = 0;
    return true;
}

/* What an entry of a grain table says. `ret_step`: how far it is to the entry of the grain that follows it in the file.
 */
static bool parse_entry(const struct vmdk_extent *extent, uint64_t entry, struct vmdk_grain_run *ret_run,
                        uint64_t *ret_step, uint64_t *ret_count_max)
{
    const struct vmdk_tables *tables = &extent->tables;
    *ret_run = (struct vmdk_grain_run){.kind = VMDK_GRAIN_UNALLOCATED, .grain_count = 1};
    *ret_step = 0;
    if (!tables->is_sesparse) {
        if (tables->has_zeroed_grains && entry == ENTRY_ZEROED) {
            ret_run->kind = VMDK_GRAIN_ZERO;
        } else if (entry != 0) {
            ret_run->kind = VMDK_GRAIN_STORED;
            ret_run->file_off = entry * VMDK_SECTOR_LEN;
            *ret_step = tables->grain_len / VMDK_SECTOR_LEN;
            *ret_count_max = tables->is_compressed ? 1 : *ret_count_max;
        }
        return true;
    }
    uint64_t index;
    switch (vmdk_sesparse_table_entry(entry, &index)) {
    case VMDK_SESPARSE_UNALLOCATED:
        return true;
    case VMDK_SESPARSE_ZERO:
        ret_run->kind = VMDK_GRAIN_ZERO;
        return true;
    case VMDK_SESPARSE_STORED:
        ret_run->kind = VMDK_GRAIN_STORED;
        *ret_step = SESPARSE_STEP;
        *ret_count_max = min_u64(*ret_count_max, SESPARSE_STEP_COUNT - index % SESPARSE_STEP_COUNT);
        return checked_multiply(index, tables->grain_len, &ret_run->file_off) &&
               checked_add(ret_run->file_off, tables->grains_off, &ret_run->file_off) && ret_run->file_off <= INT64_MAX;
    case VMDK_SESPARSE_INVALID:
    default:
        return false;
    }
}

bool vmdk_map_grains(struct image *image, struct vmdk_extent *extent, uint64_t grain, uint64_t count_max,
                     struct vmdk_grain_run *ret_run, struct error *error)
{
    const struct vmdk_tables *tables = &extent->tables;
    struct cache *cache = image->environment->cache;
    uint64_t directory_index = grain / tables->table_count;
    uint64_t index = grain % tables->table_count;
    uint64_t table_off;
    uint64_t directory_run;
    if (directory_index >= tables->directory_count) {
        return error_set(error, ERROR_MALFORMED, NULL, "the grain directory ends before entry %llu",
                         (unsigned long long)directory_index);
    }
    uint64_t directory_left = tables->directory_count - directory_index;
    uint64_t wanted = (index + count_max - 1) / tables->table_count + 1;
    /* How far the directory stays the same matters where it has no table: looked for with each grain, it would be long.
     */
    RETURN_IF_FAILED(find_table(image, extent, directory_index, 1, &table_off, &directory_run, error));
    if (table_off == 0) {
        RETURN_IF_FAILED(find_table(image, extent, directory_index, min_u64(directory_left, wanted), &table_off,
                                    &directory_run, error));
        *ret_run = (struct vmdk_grain_run){
            .kind = VMDK_GRAIN_UNALLOCATED,
            .grain_count = min_u64(directory_run * tables->table_count - index, count_max),
        };
        return true;
    }
    struct block_table table = {extent->file, table_off, tables->table_count, word_of(extent)};
    uint64_t entry;
    uint64_t step;
    struct vmdk_grain_run run;
    count_max = min_u64(count_max, tables->table_count - index);
    RETURN_IF_FAILED(block_table_read(cache, &table, index, &entry, error));
    if (!parse_entry(extent, entry, &run, &step, &count_max)) {
        return error_set(error, ERROR_MALFORMED, NULL, "entry %llu of the grain table at %llu, %#llx, is not one",
                         (unsigned long long)index, (unsigned long long)table_off, (unsigned long long)entry);
    }
    if (count_max > 1) {
        RETURN_IF_FAILED(block_table_run(cache, &table, index, count_max, step, &entry, &run.grain_count, error));
    }
    *ret_run = run;
    return true;
}

/* Plain data at extent->file_off, of which each sector that is behind the file's end is missing by itself. */
static bool set_data(const struct vmdk_extent *own, struct extent *extent, struct error *error)
{
    uint64_t end;
    extent->kind = EXTENT_DATA;
    extent->has_file_off = true;
    if (!checked_add(extent->file_off, extent->len, &end) || end > INT64_MAX) {
        return error_set(error, ERROR_MALFORMED, own->file->name,
                         "the data of offset %llu of the disk is where no file reaches",
                         (unsigned long long)extent->voff);
    }
    extent_look_for_end(extent, VMDK_SECTOR_LEN);
    return true;
}

static bool map_flat(const struct vmdk_extent *own, struct extent *extent, struct error *error)
{
    extent->may_have_holes = true;
    extent->file = own->file;
    extent->file_off = own->flat_off + (extent->voff - own->voff); /* each is INT64_MAX at most */
    return set_data(own, extent, error);
}

static bool map_stored(const struct vmdk_extent *own, uint64_t in_grain, uint64_t file_off, struct extent *extent,
                       struct error *error)
{
    extent->file = own->file;
    if (!own->tables.is_compressed) {
        extent->file_off = file_off + in_grain; /* INT64_MAX and a grain at most */
        return set_data(own, extent, error);
    }
    uint64_t file_len = own->file->len;
    extent->kind = EXTENT_COMPRESSED;
    extent->file_off = file_off;
    extent->cluster_voff = extent->voff - in_grain;
    extent->cluster_len = own->tables.grain_len;
    extent->compressed_len = file_off < file_len ? min_u64(2ull * own->tables.grain_len, file_len - file_off) : 0;
    extent_look_for_end(extent, own->tables.grain_len);
    return true;
}

static bool map_sparse(struct image *image, struct vmdk_extent *own, struct extent *extent, struct error *error)
{
    uint64_t off = extent->voff - own->voff;
    uint64_t grain_len = own->tables.grain_len;
    uint64_t grain = off / grain_len;
    uint64_t in_grain = off % grain_len;
    struct vmdk_grain_run run;
    uint64_t wanted = (off + extent->len - 1) / grain_len - grain + 1;
    RETURN_IF_FAILED(vmdk_map_grains(image, own, grain, wanted, &run, error));
    extent->len = min_u64(extent->len, run.grain_count * grain_len - in_grain);
    switch (run.kind) {
    case VMDK_GRAIN_STORED:
        return map_stored(own, in_grain, run.file_off, extent, error);
    case VMDK_GRAIN_ZERO:
        extent->kind = EXTENT_ZERO;
        return true;
    case VMDK_GRAIN_UNALLOCATED:
    default:
        extent->kind = EXTENT_UNALLOCATED;
        return true;
    }
}

bool vmdk_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct vmdk_extent *own = find_again(vmdk_of(image), voff);
    struct extent extent = {
        .voff = voff,
        .len = min_u64(len, own->voff + own->len - voff),
        .kind = EXTENT_ZERO,
    };
    bool is_mapped = true;
    if (own->kind == VMDK_KIND_FLAT) {
        is_mapped = map_flat(own, &extent, error);
    } else if (own->kind == VMDK_KIND_SPARSE) {
        is_mapped = map_sparse(image, own, &extent, error);
    }
    if (!is_mapped) {
        error_add_place(error, own->file->name);
        return false;
    }
    *ret_extent = extent;
    return true;
}

bool vmdk_table_of_grain(struct image *image, struct vmdk_extent *extent, uint64_t grain, uint64_t count_max,
                         uint64_t *ret_off, uint64_t *ret_count, struct error *error)
{
    const struct vmdk_tables *tables = &extent->tables;
    uint64_t index = grain / tables->table_count;
    if (index >= tables->directory_count) {
        *ret_off = 0;
        *ret_count = 1;
        return true;
    }
    return find_table(image, extent, index, min_u64(count_max, tables->directory_count - index), ret_off, ret_count,
                      error);
}

bool vmdk_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error)
{
    const struct vmdk *vmdk = vmdk_of(image);
    struct vmdk_extent *own = &vmdk->extents[0];
    *ret_stretch = (struct table_stretch){1, TABLE_NONE};
    if (vmdk->extent_count != 1 || own->kind != VMDK_KIND_SPARSE) {
        return true;
    }
    uint64_t stretch_len = (uint64_t)own->tables.table_count * own->tables.grain_len; /* 2^62 at most */
    uint64_t index = voff / stretch_len;
    uint64_t table_off, count;
    if (index < own->tables.directory_count) {
        RETURN_IF_FAILED(find_table(image, own, index, 1, &table_off, &count, error));
        *ret_stretch = (struct table_stretch){stretch_len, table_off != 0 ? table_off : TABLE_NONE};
    }
    return true;
}
