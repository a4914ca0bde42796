/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmaps that track changes (qcow2.txt, "Bitmap directory": auto). From the first change on they count as in use,
 * which makes them inconsistent for others. What is changed is noted; at the end their bits are set in the file, and
 * when these are on stable storage, they are no longer in use. A job that ends before that leaves them inconsistent.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "guest/formats/qcow2/layout/qcow2_bits.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/runtime/messages.h"

/* Entries of a table that are in memory at once. */
#define TABLE_ENTRIES (QCOW2_STORE_LEN_MAX / 8u)
/* Of a name in a warning, bytes. */
#define TOLD_NAME_LEN_MAX 160u
/* Bitmaps that are told of, one by one. */
#define TOLD_MAX 16u

static void warn(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap)
{
    static instar_GuestMessage message; /* large */
    uint32_t told_count = modify->tracking.told_count++;
    if (told_count > TOLD_MAX) {
        return;
    }
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_warning_tag};
    message.kind.warning.device = modify->target.file->device;
    if (told_count == TOLD_MAX) {
        text_copy(message.kind.warning.text, sizeof(message.kind.warning.text),
                  "further bitmaps cannot be kept up to date: they are inconsistent now");
    } else {
        snprintf(message.kind.warning.text, sizeof(message.kind.warning.text),
                 "bitmap '%.*s' cannot be kept up to date: it is inconsistent now",
                 (int)min_u64(bitmap->name_len, TOLD_NAME_LEN_MAX), (const char *)bitmap->name);
    }
    messages_post(&message);
}

static bool take_memory(struct qcow2_modify *modify)
{
    struct qcow2_tracking *tracking = &modify->tracking;
    struct arena *arena = modify->image->environment->arena;
    if (tracking->table == NULL) {
        tracking->is_kept = arena_allocate(arena, QCOW2_BITMAP_COUNT_MAX / 8 + 1, 1);
        tracking->changes.stretches = arena_allocate(arena, QCOW2_DIRTY_RANGES_MAX * sizeof(struct qcow2_dirty_range),
                                                     _Alignof(struct qcow2_dirty_range));
        tracking->changes.max = QCOW2_DIRTY_RANGES_MAX;
        if (tracking->is_kept == NULL || tracking->changes.stretches == NULL) {
            return false;
        }
        memset(tracking->is_kept, 0, QCOW2_BITMAP_COUNT_MAX / 8 + 1);
        tracking->table = arena_allocate(arena, QCOW2_STORE_LEN_MAX, 4096);
    }
    return tracking->table != NULL;
}

static bool is_kept(const struct qcow2_tracking *tracking, uint32_t index)
{
    return (tracking->is_kept[index / 8] >> index % 8 & 1) != 0;
}

/* The next bitmap that is kept, and where its entry of the directory is. */
static bool next_kept(struct qcow2_modify *modify, struct qcow2_bitmap_walk *walk, bool *ret_is_end,
                      struct qcow2_bitmap *ret_bitmap, uint64_t *ret_off, struct error *error)
{
    const struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    bool is_found = false;
    *ret_is_end = extensions->bitmap_count == 0;
    while (!*ret_is_end && !is_found) { /* ends: the directory has bitmap_count entries */
        uint32_t index = walk->index;
        *ret_off = extensions->bitmap_directory_off + walk->pos;
        RETURN_IF_FAILED(qcow2_bitmap_next(modify->image, walk, ret_is_end, ret_bitmap, error));
        is_found = !*ret_is_end && is_kept(&modify->tracking, index);
    }
    return true;
}

bool qcow2_modify_track_begin(struct qcow2_modify *modify, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    const struct qcow2_extensions *extensions = &modify->qcow2->extensions;
    struct qcow2_tracking *tracking = &modify->tracking;
    struct qcow2_bitmap_walk walk = {0};
    bool is_end = extensions->bitmap_count == 0;
    bool has_any = false;
    uint64_t unit_len = 1ull << QCOW2_BITMAP_GRANULARITY_BITS_MAX;
    while (!is_end) { /* ends: the directory has bitmap_count entries */
        uint32_t index = walk.index;
        uint64_t off = extensions->bitmap_directory_off + walk.pos;
        RETURN_IF_FAILED(qcow2_bitmap_next(modify->image, &walk, &is_end, &bitmap, error));
        if (is_end || (bitmap.flags & QCOW2_BITMAP_AUTO) == 0 || (bitmap.flags & QCOW2_BITMAP_IN_USE) != 0) {
            continue;
        }
        struct be32 flags = be32_make(bitmap.flags | QCOW2_BITMAP_IN_USE);
        RETURN_IF_FAILED(qcow2_modify_store(modify, off + QCOW2_BITMAP_FLAGS_POS, &flags, sizeof(flags),
                                            QCOW2_AREA_BITMAP_DIRECTORY, error));
        has_any = true;
        if (take_memory(modify)) {
            tracking->is_kept[index / 8] |= (uint8_t)(1u << index % 8);
            tracking->has_any = true;
            unit_len = min_u64(unit_len, 1ull << bitmap.granularity_bits);
        } else {
            warn(modify, &bitmap);
        }
    }
    tracking->changes.unit_len = unit_len;
    return !has_any || qcow2_modify_flush(modify, error);
}

void qcow2_modify_note(struct qcow2_modify *modify, uint64_t voff, uint64_t len)
{
    if (modify->tracking.has_any && len > 0) {
        qcow2_dirty_ranges_add(&modify->tracking.changes, voff, len);
    }
}

/* One bitmap whose bits are being set. */
struct update {
    struct qcow2_modify *modify;
    const struct qcow2_bitmap *bitmap;
    const struct qcow2_dirty_range *next; /* the first change with bits that are not set yet */
    const struct qcow2_dirty_range *end;
    uint64_t first; /* the part of the table that is in memory */
    uint64_t count; /* entries; 0: none */
    bool is_table_dirty;
    bool is_damaged; /* by what the image says, it cannot be done */
};

static uint64_t first_bit(const struct update *update, const struct qcow2_dirty_range *change)
{
    return change->voff >> update->bitmap->granularity_bits;
}

/* Behind the last one. */
static uint64_t end_bit(const struct update *update, const struct qcow2_dirty_range *change)
{
    return ((change->end_voff - 1) >> update->bitmap->granularity_bits) + 1;
}

static bool check_own(struct update *update, uint64_t off, uint64_t len, uint32_t own, struct error *error)
{
    bool is_own = false;
    RETURN_IF_FAILED(update->is_damaged || qcow2_modify_is_own(update->modify, off, len, own, &is_own, error));
    update->is_damaged = !is_own;
    return true;
}

static uint64_t table_part_len(const struct update *update)
{
    return round_up(update->count * sizeof(struct be64), SECTOR_LEN); /* tables begin with a cluster */
}

/* Clusters that the entries lead to are there, and counted, before the entries are. */
static bool table_flush(struct update *update, struct error *error)
{
    struct qcow2_modify *modify = update->modify;
    if (!update->is_table_dirty) {
        return true;
    }
    update->is_table_dirty = false;
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_tie_all(modify); /* nothing but the bitmap's data is loose */
    return qcow2_modify_write(modify, update->bitmap->table_off + update->first * sizeof(struct be64),
                              modify->tracking.table, table_part_len(update), QCOW2_AREA_BITMAP_TABLE, error);
}

/* Makes the entry's part of the table be in memory. */
static bool table_load(struct update *update, uint64_t index, struct error *error)
{
    struct qcow2_modify *modify = update->modify;
    if (index >= update->first && index - update->first < update->count) {
        return true;
    }
    RETURN_IF_FAILED(table_flush(update, error));
    update->first = round_down(index, TABLE_ENTRIES);
    update->count = min_u64(update->bitmap->table_entry_count - update->first, TABLE_ENTRIES);
    uint64_t off = update->bitmap->table_off + update->first * sizeof(struct be64);
    RETURN_IF_FAILED(check_own(update, off, table_part_len(update), QCOW2_AREA_BITMAP_TABLE, error));
    return update->is_damaged || cache_read(modify->image->environment->cache, modify->target.file, off,
                                            modify->tracking.table, (size_t)table_part_len(update), error);
}

/* The bits of [base, base + count) that the changes have, in a cluster of the bitmap's data. */
static bool update_data(struct update *update, uint64_t base, uint64_t count, uint64_t *off, struct error *error)
{
    struct qcow2_modify *modify = update->modify;
    if (*off == 0) {
        memset(modify->bounce, 0, modify->cluster_len);
        RETURN_IF_FAILED(qcow2_modify_take_loose(modify, 1, off, error));
    } else {
        RETURN_IF_FAILED(check_own(update, *off, modify->cluster_len, 0, error));
        if (update->is_damaged) {
            return true;
        }
        RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, *off, modify->bounce,
                                    modify->cluster_len, error));
    }
    for (const struct qcow2_dirty_range *change = update->next;
         change < update->end && first_bit(update, change) < base + count; change++) {
        qcow2_bits_set(modify->bounce, max_u64(first_bit(update, change), base) - base,
                       min_u64(end_bit(update, change), base + count) - base);
    }
    return qcow2_modify_write(modify, *off, modify->bounce, modify->cluster_len, 0, error);
}

static bool update_entry(struct update *update, uint64_t index, struct error *error)
{
    struct qcow2_modify *modify = update->modify;
    struct be64 *word = &modify->tracking.table[index - update->first];
    uint64_t entry = be64_get(*word);
    uint64_t off = entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK;
    uint64_t count = (uint64_t)modify->cluster_len * 8;
    uint64_t base = index * count;
    if (!qcow2_bitmap_entry_is_valid(&modify->qcow2->header, entry)) {
        update->is_damaged = true;
        return true;
    }
    if ((entry & QCOW2_BITMAP_ENTRY_ALL_ONES) != 0) {
        return true;
    }
    /* Not for the last one: the disk may get longer, and what it gets has no bits. */
    if (off == 0 && index + 1 < update->bitmap->table_entry_count && first_bit(update, update->next) <= base &&
        end_bit(update, update->next) >= base + count) {
        *word = be64_make(QCOW2_BITMAP_ENTRY_ALL_ONES);
        update->is_table_dirty = true;
        return true;
    }
    RETURN_IF_FAILED(update_data(update, base, count, &off, error));
    if (!update->is_damaged && off != (entry & QCOW2_BITMAP_ENTRY_OFFSET_MASK)) {
        *word = be64_make(off);
        update->is_table_dirty = true;
    }
    return true;
}

/* *ret_is_updated false: the image is not as it must be for that. */
static bool update_bitmap(struct qcow2_modify *modify, const struct qcow2_bitmap *bitmap, bool *ret_is_updated,
                          struct error *error)
{
    const struct qcow2_dirty_ranges *changes = &modify->tracking.changes;
    uint64_t bits_per_entry = (uint64_t)modify->cluster_len * 8;
    struct update update = {
        .modify = modify,
        .bitmap = bitmap,
        .next = changes->stretches,
        .end = changes->stretches + changes->count,
    };
    uint64_t index = 0;
    while (update.next < update.end && !update.is_damaged) { /* ends: each round goes on to another entry */
        index = max_u64(index, first_bit(&update, update.next) / bits_per_entry);
        update.is_damaged = index >= bitmap->table_entry_count;
        RETURN_IF_FAILED(update.is_damaged || table_load(&update, index, error));
        RETURN_IF_FAILED(update.is_damaged || update_entry(&update, index, error));
        index++;
        while (update.next < update.end && end_bit(&update, update.next) <= index * bits_per_entry) {
            update.next++;
        }
    }
    *ret_is_updated = !update.is_damaged;
    return table_flush(&update, error);
}

static bool update_all(struct qcow2_modify *modify, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_bitmap_walk walk = {0};
    for (;;) { /* ends: the directory has an end */
        bool is_end;
        bool is_updated;
        uint64_t off;
        RETURN_IF_FAILED(next_kept(modify, &walk, &is_end, &bitmap, &off, error));
        if (is_end) {
            return true;
        }
        RETURN_IF_FAILED(update_bitmap(modify, &bitmap, &is_updated, error));
        if (!is_updated) {
            uint32_t index = walk.index - 1;
            modify->tracking.is_kept[index / 8] &= (uint8_t) ~(1u << index % 8);
            warn(modify, &bitmap);
        }
    }
}

/* The bitmaps fit the disk's content. */
static bool release_all(struct qcow2_modify *modify, struct error *error)
{
    static struct qcow2_bitmap bitmap; /* large */
    struct qcow2_bitmap_walk walk = {0};
    for (;;) { /* ends: the directory has an end */
        bool is_end;
        uint64_t off;
        RETURN_IF_FAILED(next_kept(modify, &walk, &is_end, &bitmap, &off, error));
        if (is_end) {
            return true;
        }
        struct be32 flags = be32_make(bitmap.flags & ~QCOW2_BITMAP_IN_USE);
        RETURN_IF_FAILED(qcow2_modify_store(modify, off + QCOW2_BITMAP_FLAGS_POS, &flags, sizeof(flags),
                                            QCOW2_AREA_BITMAP_DIRECTORY, error));
    }
}

bool qcow2_modify_track_end(struct qcow2_modify *modify, struct error *error)
{
    struct qcow2_tracking *tracking = &modify->tracking;
    if (!tracking->has_any) {
        return true;
    }
    RETURN_IF_FAILED(target_settle(&modify->target, error)); /* no write uses the bounce memory any more */
    RETURN_IF_FAILED(update_all(modify, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    RETURN_IF_FAILED(release_all(modify, error));
    memset(tracking->is_kept, 0, QCOW2_BITMAP_COUNT_MAX / 8 + 1);
    tracking->has_any = false;
    tracking->changes.count = 0;
    tracking->changes.gap_len = 0;
    modify->has_begun = false; /* another change would begin anew */
    return true;
}
