/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to a damaged image, and what must not be written to. */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"
#include "guest/formats/qcow2/repair/qcow2_repair.h"

#define BUFFER_ALIGN 4096u
/* Half a second. */
#define LOOKUPS_MAX (1ull << 28)

static struct qcow2_repair *repair_of(struct qcow2_check *check)
{
    return (struct qcow2_repair *)check;
}

bool qcow2_repair_begin_writing(struct qcow2_repair *repair, struct image *image, struct error *error)
{
    repair->qcow2 = qcow2_of(image);
    repair->target = (struct target){.file = image->file, .io = image->environment->io};
    repair->sector = arena_allocate(image->environment->arena, BUFFER_ALIGN, BUFFER_ALIGN);
    repair->lookups_left = LOOKUPS_MAX;
    return repair->sector != NULL ||
           error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to write to the image");
}

bool qcow2_repair_write(struct qcow2_repair *repair, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    struct target *target = &repair->target;
    struct image *image = repair->check.image;
    if (off + len > image->file->len) {
        if (!image->file->is_resizable) {
            return error_set(error, ERROR_NO_SPACE, image->file->name,
                             "the image does not fit: it needs more than %llu bytes",
                             (unsigned long long)image->file->len);
        }
        RETURN_IF_FAILED(target_set_len(target, image->file, off + len, error));
    }
    struct io_request request = target_own_request(target);
    io_write(target->io, &request, target->file, off, data, len);
    RETURN_IF_FAILED(target_settle(target, error));
    cache_update(image->environment->cache, image->file, off, (struct span){data, (size_t)len});
    return true;
}

bool qcow2_repair_store(struct qcow2_repair *repair, uint64_t off, const void *data, uint32_t len, struct error *error)
{
    struct image *image = repair->check.image;
    uint64_t sector_off = round_down(off, SECTOR_LEN);
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, sector_off, repair->sector, SECTOR_LEN, error));
    memcpy(repair->sector + (off - sector_off), data, len);
    return qcow2_repair_write(repair, sector_off, repair->sector, SECTOR_LEN, error);
}

bool qcow2_repair_store_be64(struct qcow2_repair *repair, uint64_t off, uint64_t value, struct error *error)
{
    struct be64 word = be64_make(value);
    return qcow2_repair_store(repair, off, &word, sizeof(word), error);
}

bool qcow2_repair_flush(struct qcow2_repair *repair, struct error *error)
{
    return target_flush_file(&repair->target, repair->target.file, error);
}

bool qcow2_repair_check_write(struct qcow2_check *check, uint64_t off, const void *data, uint64_t len,
                              struct error *error)
{
    return qcow2_repair_write(repair_of(check), off, data, len, error);
}

bool qcow2_repair_check_store(struct qcow2_check *check, uint64_t off, const void *data, uint32_t len,
                              struct error *error)
{
    return qcow2_repair_store(repair_of(check), off, data, len, error);
}

/* Adds how many entries of an L1 table lead to the cluster at `off`. */
static bool count_in_l1(struct qcow2_repair *repair, struct qcow2_l1 l1, uint64_t off, uint64_t *count,
                        struct error *error)
{
    struct image *image = repair->check.image;
    for (uint64_t i = 0; i < l1.entry_count && repair->lookups_left > 0;) { /* ends: a view has an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, l1.off + i * 8, (l1.entry_count - i) * 8ull,
                                    &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word)) {
            *count += (be64_get(word) & QCOW2_L1_OFFSET_MASK) == off;
        }
        uint64_t entries = view.len / sizeof(word);
        repair->lookups_left -= min_u64(entries, repair->lookups_left);
        i += entries;
    }
    return true;
}

/*
 * Whether all that refers to the cluster are L1 tables: it may have been somebody's data, which a damaged entry takes
 * for a table. Only when the stored counts are right. Whoever asks has found one such entry.
 */
static bool is_table_only(struct qcow2_repair *repair, uint64_t off, bool *ret_is, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    struct image *image = repair->check.image;
    const struct qcow2_header *header = &repair->qcow2->header;
    uint64_t stored;
    uint64_t count = 0;
    bool is_known;
    *ret_is = false;
    RETURN_IF_FAILED(qcow2_refcount_of(image, off >> header->cluster_bits, &stored, &is_known, error));
    if (!is_known || stored <= 1) {
        *ret_is = is_known && stored == 1;
        return true;
    }
    struct qcow2_l1 active = {.off = header->l1_off, .entry_count = header->l1_entry_count};
    RETURN_IF_FAILED(count_in_l1(repair, active, off, &count, error));
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(image);
    while (walk.index < header->snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        struct error none = {0};
        RETURN_IF_FAILED(qcow2_snapshot_next(image, &walk, &snapshot, error));
        if (qcow2_snapshot_check_l1(image, &snapshot, &none)) {
            RETURN_IF_FAILED(count_in_l1(repair, snapshot.l1, off, &count, error));
        }
    }
    *ret_is = count == stored && repair->lookups_left > 0;
    return true;
}

bool qcow2_repair_may_change(struct qcow2_check *check, enum qcow2_check_table table, uint64_t off, uint64_t len,
                             bool *ret_may, struct error *error)
{
    struct qcow2_repair *repair = repair_of(check);
    uint32_t cluster_len = check->header->cluster_len;
    bool is_l2 = table == QCOW2_CHECK_L2;
    uint32_t own = is_l2 ? QCOW2_AREA_L2 | QCOW2_AREA_SNAPSHOT : QCOW2_AREA_L1;
    uint32_t area;
    *ret_may = false;
    if ((is_l2 && off % cluster_len != 0) ||
        !range_is_within(off, len, round_up(check->image->file->len, cluster_len))) {
        return true;
    }
    if (!repair->has_overlap) {
        RETURN_IF_FAILED(qcow2_overlap_init(&repair->overlap, check->image, error));
        repair->has_overlap = true;
    }
    RETURN_IF_FAILED(qcow2_overlap_find(&repair->overlap, off, len, own, &area, error));
    *ret_may = area == 0;
    return !*ret_may || !is_l2 || !repair->has_counts || is_table_only(repair, off, ret_may, error);
}
