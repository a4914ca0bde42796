/* SPDX-License-Identifier: Apache-2.0 */
/* L1 and L2 tables that change. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"

/* Tables that leave the L1 table before one flush. */
#define DROP_MAX 512u

static uint64_t l1_entry_off(const struct qcow2_modify *modify, uint64_t index)
{
    return modify->qcow2->header.l1_off + index * sizeof(struct be64);
}

bool qcow2_modify_check_l2_off(const struct qcow2_modify *modify, uint64_t off, uint64_t index, struct error *error)
{
    return off % modify->cluster_len == 0 || error_set(error, ERROR_MALFORMED, modify->target.file->name,
                                                       "L2 table offset %#llx unaligned (L1 index: %#llx)",
                                                       (unsigned long long)off, (unsigned long long)index);
}

static bool l1_entry(struct qcow2_modify *modify, uint64_t index, uint64_t *ret_entry, struct error *error)
{
    if (index >= modify->qcow2->header.l1_entry_count) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name, "the L1 table is too short");
    }
    RETURN_IF_FAILED(cache_read_be64(modify->image->environment->cache, modify->target.file,
                                     l1_entry_off(modify, index), ret_entry, error));
    uint64_t off = *ret_entry & QCOW2_L1_OFFSET_MASK;
    RETURN_IF_FAILED(qcow2_modify_check_l2_off(modify, off, index, error));
    if (off >= modify->target.file->len) {
        return off == 0 || error_set(error, ERROR_MALFORMED, modify->target.file->name,
                                     "L2 table offset %#llx lies behind the end of the file (L1 index: %#llx)",
                                     (unsigned long long)off, (unsigned long long)index);
    }
    return true;
}

/* The next entry from *index on that tells of no table, and is not 0; *index is behind all of them: there is none. */
static bool find_odd_entry(struct qcow2_modify *modify, uint64_t *index, struct error *error)
{
    uint64_t count = modify->qcow2->header.l1_entry_count;
    while (*index < count) { /* ends: a view has an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(modify->image->environment->cache, modify->target.file,
                                    l1_entry_off(modify, *index), (count - *index) * sizeof(word), &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word), (*index)++) {
            if (be64_get(word) != 0 && (be64_get(word) & QCOW2_L1_OFFSET_MASK) == 0) {
                return true;
            }
        }
    }
    return true;
}

bool qcow2_modify_tidy_l1(struct qcow2_modify *modify, struct error *error)
{
    for (uint64_t index = 0;; index++) { /* ends: the table does */
        RETURN_IF_FAILED(find_odd_entry(modify, &index, error));
        if (index == modify->qcow2->header.l1_entry_count) {
            return true;
        }
        RETURN_IF_FAILED(qcow2_modify_store_be64(modify, l1_entry_off(modify, index), 0, QCOW2_AREA_L1, error));
    }
}

/* The part of an L2 table that begins at `off`. */
static bool slice_get(struct qcow2_modify *modify, uint64_t off, struct qcow2_slice **ret_slice, struct error *error)
{
    struct qcow2_slices *slices = &modify->slices;
    struct qcow2_slice *slice = qcow2_slices_find(slices, off);
    if (slice != NULL) {
        *ret_slice = slice;
        return true;
    }
    slice = qcow2_slices_oldest(slices);
    if (slice->is_dirty) {
        RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    }
    slice->off = 0;
    RETURN_IF_FAILED(
        cache_read(modify->image->environment->cache, modify->target.file, off, slice->bytes, slices->len, error));
    qcow2_slices_fill(slices, slice, off);
    *ret_slice = slice;
    return true;
}

/* Bytes from the table's start to the entry of voff. */
static uint64_t entry_pos(const struct qcow2_modify *modify, uint64_t voff)
{
    return voff % modify->l2_span_len / modify->cluster_len * qcow2_l2_entry_len(&modify->qcow2->header);
}

static uint8_t *entry_bytes(const struct qcow2_modify *modify, const struct qcow2_slice *slice, uint64_t voff)
{
    return slice->bytes + entry_pos(modify, voff) % modify->slices.len;
}

static bool entry_slice(struct qcow2_modify *modify, uint64_t l2_off, uint64_t voff, struct qcow2_slice **ret_slice,
                        struct error *error)
{
    return slice_get(modify, l2_off + round_down(entry_pos(modify, voff), modify->slices.len), ret_slice, error);
}

bool qcow2_modify_get(struct qcow2_modify *modify, uint64_t voff, struct qcow2_l2_entry *ret_entry, struct error *error)
{
    uint64_t to_table;
    struct qcow2_l2_entry entry = {0};
    RETURN_IF_FAILED(l1_entry(modify, voff / modify->l2_span_len, &to_table, error));
    if ((to_table & QCOW2_L1_OFFSET_MASK) != 0) {
        struct qcow2_slice *slice;
        struct be64 words[2] = {0};
        RETURN_IF_FAILED(entry_slice(modify, to_table & QCOW2_L1_OFFSET_MASK, voff, &slice, error));
        memcpy(words, entry_bytes(modify, slice, voff), qcow2_l2_entry_len(&modify->qcow2->header));
        entry = (struct qcow2_l2_entry){be64_get(words[0]), be64_get(words[1])};
    }
    *ret_entry = entry;
    return true;
}

/* An L2 table of the image's own: a new one, or a copy of one that snapshots have, too. */
static bool make_table(struct qcow2_modify *modify, uint64_t index, uint64_t old_entry, struct error *error)
{
    uint64_t off;
    uint64_t old_off = old_entry & QCOW2_L1_OFFSET_MASK;
    uint32_t own = QCOW2_AREA_L2 | QCOW2_AREA_SNAPSHOT; /* snapshots have it, too */
    RETURN_IF_FAILED(old_off == 0 || qcow2_overlap_check(&modify->overlap, old_off, modify->cluster_len, own, error));
    RETURN_IF_FAILED(qcow2_modify_take_loose(modify, 1, &off, error));
    RETURN_IF_FAILED(qcow2_modify_copy_table(modify, off, modify->cluster_len, old_off,
                                             old_off != 0 ? modify->cluster_len : 0, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_tie(modify, off, 1);
    RETURN_IF_FAILED(
        qcow2_modify_store_be64(modify, l1_entry_off(modify, index), off | QCOW2_COPIED, QCOW2_AREA_L1, error));
    qcow2_new_tables_add(&modify->new_tables, index, off, old_entry);
    qcow2_overlap_add(&modify->overlap, QCOW2_AREA_L2, off, modify->cluster_len);
    qcow2_slices_forget(&modify->slices, off, modify->cluster_len);
    if (old_off != 0) {
        qcow2_slices_forget(&modify->slices, old_off, modify->cluster_len);
        return qcow2_releases_add(&modify->tables, old_off >> modify->qcow2->header.cluster_bits, 1) ||
               error_set(error, ERROR_GUEST, NULL, "there is no room for another release");
    }
    return true;
}

bool qcow2_modify_prepare(struct qcow2_modify *modify, uint64_t voff, struct error *error)
{
    uint64_t index = voff / modify->l2_span_len;
    uint64_t entry;
    struct qcow2_slice *slice;
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    /* Room for what a table and the clusters of one request release: checkpoints come only between requests. */
    if (!qcow2_releases_have_room(&modify->releases, QCOW2_RUN_MAX) || !qcow2_releases_have_room(&modify->tables, 1)) {
        RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    }
    RETURN_IF_FAILED(l1_entry(modify, index, &entry, error));
    if ((entry & QCOW2_COPIED) == 0 || (entry & QCOW2_L1_OFFSET_MASK) == 0) {
        RETURN_IF_FAILED(make_table(modify, index, entry, error));
        RETURN_IF_FAILED(l1_entry(modify, index, &entry, error));
    }
    RETURN_IF_FAILED(
        qcow2_overlap_check(&modify->overlap, entry & QCOW2_L1_OFFSET_MASK, modify->cluster_len, QCOW2_AREA_L2, error));
    return entry_slice(modify, entry & QCOW2_L1_OFFSET_MASK, voff, &slice, error);
}

/* The slice of voff, which is in memory, as is the L1 table's entry: qcow2_modify_prepare was there. */
static bool prepared_slice(struct qcow2_modify *modify, uint64_t voff, struct qcow2_slice **ret_slice)
{
    uint64_t to_table;
    struct error *error = &modify->target.error;
    return !error_is_set(error) && l1_entry(modify, voff / modify->l2_span_len, &to_table, error) &&
           entry_slice(modify, to_table & QCOW2_L1_OFFSET_MASK, voff, ret_slice, error);
}

static void entry_put(const struct qcow2_modify *modify, struct qcow2_slice *slice, uint64_t voff,
                      struct qcow2_l2_entry entry)
{
    const struct be64 words[2] = {be64_make(entry.descriptor), be64_make(entry.bitmap)};
    memcpy(entry_bytes(modify, slice, voff), words, qcow2_l2_entry_len(&modify->qcow2->header));
    slice->is_dirty = true;
}

void qcow2_modify_set(struct qcow2_modify *modify, uint64_t voff, struct qcow2_l2_entry entry)
{
    struct qcow2_slice *slice;
    if (prepared_slice(modify, voff, &slice)) {
        entry_put(modify, slice, voff, entry);
    }
}

uint64_t qcow2_modify_fill(struct qcow2_modify *modify, uint64_t voff, uint64_t end_voff, struct qcow2_l2_entry entry)
{
    static const struct be64 nothing[2];
    struct qcow2_slice *slice;
    uint64_t span_len = qcow2_modify_slice_span_len(modify);
    uint64_t end = min_u64(end_voff, round_down(voff, span_len) + span_len);
    if (!prepared_slice(modify, voff, &slice)) {
        return voff;
    }
    while (end - voff >= modify->cluster_len &&
           memcmp(entry_bytes(modify, slice, voff), nothing, qcow2_l2_entry_len(&modify->qcow2->header)) == 0) {
        entry_put(modify, slice, voff, entry);
        voff += modify->cluster_len;
    }
    return voff;
}

bool qcow2_modify_empty_len(struct qcow2_modify *modify, uint64_t voff, uint64_t *ret_len, struct error *error)
{
    uint64_t index = voff / modify->l2_span_len;
    uint64_t entry;
    RETURN_IF_FAILED(l1_entry(modify, index, &entry, error));
    *ret_len = (entry & QCOW2_L1_OFFSET_MASK) != 0 ? 0 : modify->l2_span_len - voff % modify->l2_span_len;
    return true;
}

bool qcow2_modify_checkpoint(struct qcow2_modify *modify, struct error *error)
{
    /* What is released may be the clusters of streams: others get those then, so no stream goes there any more. */
    RETURN_IF_FAILED(modify->releases.count > 0 ? qcow2_modify_pack_close(modify, error)
                                                : qcow2_modify_pack_flush(modify, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    for (uint32_t i = 0; i < QCOW2_SLICE_COUNT; i++) {
        struct qcow2_slice *slice = &modify->slices.list[i];
        if (slice->is_dirty) {
            slice->is_dirty = false; /* whatever becomes of it: a part of it may be in the file */
            RETURN_IF_FAILED(
                qcow2_modify_write(modify, slice->off, slice->bytes, modify->slices.len, QCOW2_AREA_L2, error));
        }
    }
    if (modify->releases.count == 0 && modify->tables.count == 0) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    return qcow2_modify_release_all(modify, error);
}

/* Calls `visit` for each entry of the L2 table, as it is in the file. */
static bool for_each_slot(struct qcow2_modify *modify, uint64_t l2_off,
                          bool (*visit)(struct qcow2_modify *modify, struct qcow2_l2_entry entry, struct error *error),
                          struct error *error)
{
    uint32_t entry_len = qcow2_l2_entry_len(&modify->qcow2->header);
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, l2_off, modify->bounce,
                                modify->cluster_len, error));
    for (uint32_t at = 0; at < modify->cluster_len; at += entry_len) {
        struct be64 word;
        memcpy(&word, modify->bounce + at, sizeof(word));
        struct qcow2_l2_entry entry = {.descriptor = be64_get(word)};
        RETURN_IF_FAILED(entry.descriptor == 0 || visit(modify, entry, error));
    }
    return true;
}

static bool check_entry(struct qcow2_modify *modify, struct qcow2_l2_entry entry, struct error *error)
{
    uint64_t off;
    uint64_t len;
    RETURN_IF_FAILED(qcow2_modify_storage_of(modify, entry, &off, &len, error));
    return len == 0 || qcow2_overlap_check(&modify->overlap, off, len, 0, error);
}

/* Nothing in the file leads there any more, so that it need not wait for a checkpoint. */
static bool drop_entry(struct qcow2_modify *modify, struct qcow2_l2_entry entry, struct error *error)
{
    RETURN_IF_FAILED(qcow2_releases_have_room(&modify->releases, 1) ||
                     qcow2_modify_release_list(modify, &modify->releases, error));
    return qcow2_modify_release_entry(modify, entry, error);
}

/* Before anything is changed: nothing that the tables from entry `first` on lead to is somebody else's metadata. */
static bool check_tables(struct qcow2_modify *modify, uint64_t first, struct error *error)
{
    for (uint64_t i = first; i < modify->qcow2->header.l1_entry_count; i++) {
        uint64_t entry;
        RETURN_IF_FAILED(l1_entry(modify, i, &entry, error));
        uint64_t off = entry & QCOW2_L1_OFFSET_MASK;
        uint32_t own = QCOW2_AREA_L2 | ((entry & QCOW2_COPIED) == 0 ? QCOW2_AREA_SNAPSHOT : 0);
        RETURN_IF_FAILED(off == 0 || (qcow2_overlap_check(&modify->overlap, off, modify->cluster_len, own, error) &&
                                      for_each_slot(modify, off, check_entry, error)));
    }
    return true;
}

/* Up to DROP_MAX tables from entry *index on give way to nothing; then *index is behind them. */
static bool clear_entries(struct qcow2_modify *modify, uint64_t *index, uint64_t *ret_offs, uint32_t *ret_count,
                          struct error *error)
{
    *ret_count = 0;
    for (; *index < modify->qcow2->header.l1_entry_count && *ret_count < DROP_MAX; (*index)++) {
        uint64_t entry;
        RETURN_IF_FAILED(l1_entry(modify, *index, &entry, error));
        uint64_t off = entry & QCOW2_L1_OFFSET_MASK;
        if (off == 0) {
            continue;
        }
        RETURN_IF_FAILED(qcow2_modify_store_be64(modify, l1_entry_off(modify, *index), 0, QCOW2_AREA_L1, error));
        qcow2_slices_forget(&modify->slices, off, modify->cluster_len);
        ret_offs[(*ret_count)++] = off;
    }
    return true;
}

bool qcow2_modify_drop_tables(struct qcow2_modify *modify, uint64_t first, struct error *error)
{
    uint64_t offs[DROP_MAX];
    uint32_t count;
    RETURN_IF_FAILED(qcow2_modify_pack_close(modify, error) && qcow2_modify_checkpoint(modify, error));
    RETURN_IF_FAILED(check_tables(modify, first, error));
    do { /* ends: each round but the last goes on by DROP_MAX entries */
        RETURN_IF_FAILED(clear_entries(modify, &first, offs, &count, error));
        RETURN_IF_FAILED(count == 0 || qcow2_modify_flush(modify, error));
        for (uint32_t i = 0; i < count; i++) {
            RETURN_IF_FAILED(for_each_slot(modify, offs[i], drop_entry, error));
            RETURN_IF_FAILED(qcow2_modify_release_list(modify, &modify->releases, error));
            RETURN_IF_FAILED(qcow2_modify_count(modify, offs[i] >> modify->qcow2->header.cluster_bits, 1, -1, error));
        }
    } while (count == DROP_MAX);
    return qcow2_modify_checkpoint(modify, error);
}

bool qcow2_modify_find_entry(struct qcow2_modify *modify, uint64_t l2_off, bool (*is_wanted)(uint64_t descriptor),
                             bool *ret_has, struct error *error)
{
    uint32_t entry_len = qcow2_l2_entry_len(&modify->qcow2->header);
    *ret_has = false;
    for (uint64_t done = 0; done < modify->cluster_len && !*ret_has;) { /* ends: views have an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(modify->image->environment->cache, modify->target.file, l2_off + done,
                                    modify->cluster_len - done, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)) && !*ret_has; at += entry_len) {
            *ret_has = is_wanted(be64_get(word));
        }
        done += view.len;
    }
    return true;
}
