/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is damaged in a sparse extent's tables, repaired (QEMU has none of it): a directory's entry that leads to no
 * table of its own gets one, with what the other directory has; a grain that is outside of the file is what the
 * redundant table has, or none any more; one that the file ends within goes on with zeros; of two grains at one place,
 * the later one gets a copy; the redundant tables are as the first ones. All of that is errors. Space behind the last
 * grain is leaked.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_check.h"
#include "guest/formats/vmdk/vmdk_parts.h"
#include "guest/formats/vmdk/vmdk_writer.h"
#include "guest/image/finding.h"

struct vmdk_repair {
    struct vmdk_modify *modify;
    struct vmdk_layout *layout;
    const struct repair_plan *plan;
    struct findings findings;
    instar_CheckMessage *result;
    bool is_counting; /* the first walk: what there is, before anything is changed */
    bool has_errors;
    uint64_t free_off; /* bytes: of a grain of the file that is for new tables, */
    uint64_t free_len; /* what is left */
};

/* A directory's table; none, where it leads to no place of its own. */
struct table_place {
    uint64_t entry;
    bool is_sound;
};

static const struct vmdk_tables *tables_of(const struct vmdk_repair *repair)
{
    return &repair->modify->extent->tables;
}

static bool has_room(struct vmdk_repair *repair, struct error *error)
{
    struct block_modify *blocks = &repair->modify->blocks;
    return table_changes_room(&blocks->changes) >= BLOCK_MODIFY_WORDS_MAX || block_modify_checkpoint(blocks, error);
}

/* Whether an entry of a directory leads to a table that nobody else has, which it is from now on. */
static bool look_at_entry(struct vmdk_repair *repair, uint64_t directory_off, uint64_t index,
                          struct table_place *ret_place, struct error *error)
{
    struct block_table directory = vmdk_directory_at(repair->modify->extent, directory_off);
    struct error why = {0};
    uint64_t entry;
    RETURN_IF_FAILED(table_changes_get(&repair->modify->blocks.changes, &directory, index, &entry, error));
    struct block_table table = vmdk_table_at_sector(repair->modify->extent, entry);
    bool is_sound = entry != 0 && block_storage_keep(&repair->layout->storage, table.off,
                                                     table.count * block_table_word_len(table.word), &why);
    if (why.kind == ERROR_UNSUPPORTED) {
        *error = why;
        return false;
    }
    *ret_place = (struct table_place){entry, is_sound};
    return true;
}

/* Of whole grains of the file, so that those behind are where they would be without it. */
static bool place_table(struct vmdk_repair *repair, uint64_t len, uint64_t *ret_off, struct error *error)
{
    uint64_t grain_len = tables_of(repair)->grain_len;
    if (repair->free_len < len) {
        repair->free_len = round_up(len, grain_len);
        RETURN_IF_FAILED(
            block_modify_append(&repair->modify->blocks, repair->free_len, VMDK_SECTOR_LEN, &repair->free_off, error));
    }
    *ret_off = repair->free_off;
    repair->free_off += len;
    repair->free_len -= len;
    return true;
}

/* A new table, as `old` is, or without a grain (NULL), for a directory's entry. */
static bool make_table(struct vmdk_repair *repair, uint64_t directory_off, uint64_t index,
                       const struct table_place *old, struct error *error)
{
    struct block_modify *blocks = &repair->modify->blocks;
    const struct vmdk_extent *extent = repair->modify->extent;
    struct block_table directory = vmdk_directory_at(extent, directory_off);
    uint32_t len = (uint32_t)round_up((uint64_t)extent->tables.table_count * sizeof(uint32_t), VMDK_SECTOR_LEN);
    uint64_t off;
    uint32_t entry;
    check_finding(&repair->findings, "Repairing entry %llu of the grain directory at %llu, which leads to no table",
                  (unsigned long long)index, (unsigned long long)directory_off);
    repair->result->corruptions_fixed++;
    RETURN_IF_FAILED(has_room(repair, error) && place_table(repair, len, &off, error) &&
                     vmdk_new_entry(&blocks->target, off, &entry, error) && target_settle(&blocks->target, error));
    memset(blocks->bounce, 0, len);
    if (old != NULL) {
        struct block_table table = vmdk_table_at_sector(extent, old->entry);
        RETURN_IF_FAILED(cache_read(blocks->changes.cache, extent->file, table.off, blocks->bounce,
                                    table.count * sizeof(uint32_t), error));
    }
    RETURN_IF_FAILED(table_changes_store(&blocks->changes, off, blocks->bounce, len, error));
    blocks->is_unsafe = true;
    return table_changes_set(&blocks->changes, &directory, index, entry, error);
}

/* The tables of one entry of the directories. */
static bool look_at_tables(struct vmdk_repair *repair, uint64_t index, struct error *error)
{
    const struct vmdk_tables *tables = tables_of(repair);
    struct table_place first;
    struct table_place other = {0};
    RETURN_IF_FAILED(look_at_entry(repair, tables->directory_off, index, &first, error));
    RETURN_IF_FAILED(!tables->has_redundant || look_at_entry(repair, tables->redundant_off, index, &other, error));
    bool is_none = first.entry == 0 && other.entry == 0; /* no grain, and no table for one */
    bool is_sound = is_none || (first.is_sound && (other.is_sound || !tables->has_redundant));
    repair->has_errors = repair->has_errors || !is_sound;
    if (is_sound || repair->is_counting) {
        return true;
    }
    const struct table_place *known = first.is_sound ? &first : other.is_sound ? &other : NULL;
    return (first.is_sound || make_table(repair, tables->directory_off, index, known, error)) &&
           (other.is_sound || !tables->has_redundant || make_table(repair, tables->redundant_off, index, known, error));
}

/* What the file has of a grain, to a new place; zeros behind its end. */
static bool copy_grain(struct vmdk_repair *repair, uint64_t from_off, uint32_t *ret_entry, struct error *error)
{
    struct block_modify *blocks = &repair->modify->blocks;
    uint64_t grain_len = tables_of(repair)->grain_len;
    uint64_t off;
    return block_modify_append(blocks, grain_len, VMDK_SECTOR_LEN, &off, error) &&
           vmdk_new_entry(&blocks->target, off, ret_entry, error) &&
           block_modify_copy_within(blocks, from_off, off, grain_len, error);
}

static bool is_stored(const struct vmdk_repair *repair, uint64_t entry)
{
    return entry != 0 && (entry != VMDK_ENTRY_ZEROED || !tables_of(repair)->has_zeroed_grains);
}

/* Whether a grain may be there, which nobody else has; from now on this one has the place. */
static bool take_place(struct vmdk_repair *repair, uint64_t grain, uint64_t entry)
{
    struct error ignored = {0};
    return !is_stored(repair, entry) ||
           block_storage_add(&repair->layout->storage, grain, entry * VMDK_SECTOR_LEN, &ignored);
}

/* A grain whose entry `entry` is not sound, and what its redundant one is. */
static bool repair_grain(struct vmdk_repair *repair, uint64_t grain, uint64_t entry, uint64_t other,
                         struct error *error)
{
    uint64_t off = entry * VMDK_SECTOR_LEN;
    uint32_t copied;
    repair->result->corruptions_fixed++;
    if (off >= repair->layout->storage.file_len) {
        bool is_known = other != entry && take_place(repair, grain, other);
        check_finding(&repair->findings, "Repairing grain %llu, which is outside of the file: %s",
                      (unsigned long long)grain, is_known ? "as in the redundant table" : "it is none any more");
        return vmdk_modify_set_entry(repair->modify, grain, is_known ? other : 0, error);
    }
    check_finding(&repair->findings, "Repairing grain %llu, whose place at offset %llu has something else, too",
                  (unsigned long long)grain, (unsigned long long)off);
    return copy_grain(repair, off, &copied, error) && vmdk_modify_set_entry(repair->modify, grain, copied, error);
}

/* Whether the file ends within a grain, as far as the disk has it. */
static bool is_cut(const struct vmdk_repair *repair, uint64_t grain, uint64_t entry)
{
    const struct vmdk_extent *extent = repair->modify->extent;
    uint64_t grain_len = extent->tables.grain_len;
    uint64_t file_len = round_up(repair->layout->storage.file_len, VMDK_SECTOR_LEN);
    return is_stored(repair, entry) && grain * grain_len < extent->len &&
           !range_is_within(entry * VMDK_SECTOR_LEN, min_u64(grain_len, extent->len - grain * grain_len), file_len);
}

static bool repair_cut(struct vmdk_repair *repair, uint64_t grain, uint64_t entry, struct error *error)
{
    repair->result->corruptions_fixed++;
    check_finding(&repair->findings, "Repairing grain %llu, which ends behind the end of the file: zeros follow",
                  (unsigned long long)grain);
    return block_modify_grow_to(&repair->modify->blocks, entry * VMDK_SECTOR_LEN + tables_of(repair)->grain_len, error);
}

/* The grain with number `at` in the tables. *has_told: it has been said that the redundant one differs. */
static bool look_at_grain(struct vmdk_repair *repair, const struct block_table tables[2], uint64_t first_grain,
                          uint64_t at, bool *has_told, struct error *error)
{
    struct table_changes *changes = &repair->modify->blocks.changes;
    uint64_t entry;
    uint64_t other;
    RETURN_IF_FAILED(table_changes_get(changes, &tables[0], at, &entry, error) &&
                     table_changes_get(changes, &tables[1], at, &other, error));
    bool is_sound = take_place(repair, first_grain + at, entry);
    bool ends_outside = is_sound && is_cut(repair, first_grain + at, entry);
    repair->has_errors = repair->has_errors || !is_sound || ends_outside || entry != other;
    if (repair->is_counting) {
        return true;
    }
    RETURN_IF_FAILED(!ends_outside || repair_cut(repair, first_grain + at, entry, error));
    if (is_sound && entry == other) {
        return true;
    }
    RETURN_IF_FAILED(has_room(repair, error));
    if (!is_sound) {
        return repair_grain(repair, first_grain + at, entry, other, error);
    }
    if (!*has_told) {
        *has_told = true;
        repair->result->corruptions_fixed++;
        check_finding(&repair->findings, "Repairing the redundant grain table of grain %llu, which is another one",
                      (unsigned long long)first_grain);
    }
    return table_changes_set(changes, &tables[1], at, entry, error);
}

static bool look_at_grains(struct vmdk_repair *repair, uint64_t index, struct error *error)
{
    const struct vmdk_tables *shape = tables_of(repair);
    struct cache *cache = repair->modify->blocks.changes.cache;
    uint64_t first_grain = index * shape->table_count;
    bool has_told = false;
    struct block_table tables[2];
    RETURN_IF_FAILED(vmdk_modify_find_table(repair->modify, shape->directory_off, first_grain, &tables[0], error));
    tables[1] = tables[0];
    RETURN_IF_FAILED(!shape->has_redundant ||
                     vmdk_modify_find_table(repair->modify, shape->redundant_off, first_grain, &tables[1], error));
    if (tables[0].off == 0 || tables[1].off == 0) {
        return true; /* no grain has a place; or this is the first walk, and its table is damaged */
    }
    uint64_t step;
    for (uint64_t at = 0; at < shape->table_count; at += step) { /* ends: step is 1 at least */
        uint64_t entry, other, other_step;
        uint64_t left = shape->table_count - at;
        RETURN_IF_FAILED(block_table_run(cache, &tables[0], at, left, 0, &entry, &step, error) &&
                         block_table_run(cache, &tables[1], at, left, 0, &other, &other_step, error));
        bool is_nothing = !is_stored(repair, entry) && entry == other;
        step = is_nothing ? min_u64(step, other_step) : 1;
        RETURN_IF_FAILED(is_nothing || look_at_grain(repair, tables, first_grain, at, &has_told, error));
    }
    return true;
}

/* Space that the file has behind everything. */
static void repair_end(struct vmdk_repair *repair)
{
    struct block_modify *blocks = &repair->modify->blocks;
    const struct file *file = blocks->target.file;
    uint64_t grain_len = tables_of(repair)->grain_len;
    if (!repair->plan->fixes_leaks || !file->is_resizable || file->len <= blocks->next_off) {
        return;
    }
    uint64_t leaked_len = file->len - blocks->next_off;
    check_finding(&repair->findings, "Repairing space leaked at the end of the image %llu",
                  (unsigned long long)leaked_len);
    repair->result->leaks_fixed += divide_up(leaked_len, grain_len);
    blocks->kept_len = blocks->next_off;
}

/* All tables, then all grains. */
static bool walk(struct vmdk_repair *repair, struct error *error)
{
    const struct vmdk_tables *tables = tables_of(repair);
    uint64_t count = tables->directory_count;
    struct block_storage *storage = &repair->layout->storage;
    uint64_t directory_len = count * sizeof(uint32_t);
    RETURN_IF_FAILED(
        vmdk_layout_begin(repair->layout, repair->modify->blocks.image, repair->modify->extent, error) &&
        block_storage_keep(storage, tables->directory_off, directory_len, error) &&
        (!tables->has_redundant || block_storage_keep(storage, tables->redundant_off, directory_len, error)));
    /* Where new grains begin, and those of whole programs: one that is damaged does not say where all others are. */
    storage->first_off = repair->layout->header.overhead_sectors * VMDK_SECTOR_LEN % tables->grain_len;
    storage->has_first = true;
    for (uint64_t i = 0; i < count; i++) { /* ends: VMDK_DIRECTORY_COUNT_MAX */
        RETURN_IF_FAILED(look_at_tables(repair, i, error));
    }
    for (uint64_t i = 0; i < count; i++) {
        RETURN_IF_FAILED(look_at_grains(repair, i, error));
    }
    return true;
}

static bool repair_all(struct vmdk_repair *repair, struct error *error)
{
    struct block_modify *blocks = &repair->modify->blocks;
    struct block_storage *storage = &repair->layout->storage;
    repair->is_counting = true;
    RETURN_IF_FAILED(walk(repair, error));
    uint64_t overhead_len = repair->layout->header.overhead_sectors * VMDK_SECTOR_LEN;
    uint64_t end_off = max_u64(block_storage_next_off(storage), overhead_len);
    /* Damaged tables may have lost what is in the file: nothing is taken off it then, and what is new goes behind. */
    if (repair->has_errors) {
        storage->end_off = max_u64(end_off, blocks->target.file->len);
        end_off = block_storage_next_off(storage);
    }
    blocks->next_off = end_off;
    repair->is_counting = false;
    if (repair->has_errors && repair->plan->fixes_errors) {
        RETURN_IF_FAILED(walk(repair, error));
    }
    RETURN_IF_FAILED(block_modify_checkpoint(blocks, error));
    if (!repair->has_errors) {
        repair_end(repair);
    }
    return block_modify_finish(&blocks->target, true, error);
}

/* An extent in the file of `image`. */
static bool repair_extent(struct vmdk_repair *repair, struct image *image, struct vmdk_extent *extent,
                          struct error *error)
{
    bool had_errors = repair->has_errors;
    repair->has_errors = false;
    repair->free_len = 0;
    RETURN_IF_FAILED(vmdk_layout_begin(repair->layout, image, extent, error) &&
                     vmdk_modify_make(image, extent, repair->layout, &repair->modify, error));
    if (!repair_all(repair, error)) {
        target_abandon(&repair->modify->blocks.target);
        return false;
    }
    repair->has_errors = repair->has_errors || had_errors;
    return true;
}

/* Each sparse extent in its own file; of flat ones there is nothing to repair. */
static bool repair_parts(struct vmdk_repair *repair, struct image *image, struct error *error)
{
    struct vmdk_parts *parts;
    struct vmdk *vmdk = vmdk_of(image);
    RETURN_IF_FAILED(vmdk_parts_make(image, &parts, error));
    for (uint32_t i = 0; i < vmdk->extent_count; i++) {
        struct vmdk_extent *extent = &vmdk->extents[i];
        if (extent->kind == VMDK_KIND_SPARSE) {
            RETURN_IF_FAILED(vmdk_parts_check_file(parts, extent, error) && vmdk_check_plain(image, extent, error) &&
                             repair_extent(repair, vmdk_parts_image(parts, i), extent, error));
        }
    }
    return true;
}

bool vmdk_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                 struct error *error)
{
    static struct vmdk_layout layout; /* large */
    struct vmdk_repair repair = {
        .layout = &layout, .plan = plan, .findings = {plan->findings_max}, .result = ret_result};
    struct vmdk_extent *extent;
    RETURN_IF_FAILED(vmdk_is_in_parts(image) ? repair_parts(&repair, image, error)
                                             : vmdk_modify_check_kind(image, &extent, error) &&
                                                   repair_extent(&repair, image, extent, error));
    /* What only -r all repairs is told as a check tells it. */
    return !repair.has_errors || plan->fixes_errors || vmdk_check(image, plan->findings_max, ret_result, error);
}
