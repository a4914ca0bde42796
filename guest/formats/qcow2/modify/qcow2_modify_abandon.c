/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change that has failed, on a full disk for one. Entries of L2 tables that are in memory only lead to clusters that
 * nobody else knows of; those in the file stay, with all that they lead to, and so do references that were to be taken
 * back. Of a slice that was being written, parts may be in the file: what it leads to stays, too. A new L2 table that
 * has what there was before it gives way to that again.
 */
#include <string.h>

#include "base/checked.h"
#include "base/zeros.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

/* References to neighbours, or to one cluster, that are taken back by one change of the counters. */
struct tally {
    struct qcow2_modify *modify;
    uint64_t first;
    uint64_t count;
    int64_t change;
};

static bool tally_end(struct tally *tally, struct error *error)
{
    uint64_t count = tally->count;
    tally->count = 0;
    return count == 0 || qcow2_modify_count(tally->modify, tally->first, count, tally->change, error);
}

/* A reference less to the cluster. */
static bool tally_add(struct tally *tally, uint64_t cluster, struct error *error)
{
    if (tally->count > 0 && tally->change == -1 && cluster == tally->first + tally->count) {
        tally->count++;
        return true;
    }
    if (tally->count == 1 && cluster == tally->first) {
        tally->change--;
        return true;
    }
    RETURN_IF_FAILED(tally_end(tally, error));
    tally->first = cluster;
    tally->count = 1;
    tally->change = -1;
    return true;
}

static uint64_t descriptor_of(const uint8_t *entry)
{
    struct be64 word;
    memcpy(&word, entry, sizeof(word));
    return be64_get(word);
}

/* Clusters that the entry has got since it was in the file. */
static bool entry_take_back(struct tally *tally, const uint8_t *entry, const uint8_t *stored, struct error *error)
{
    const struct qcow2_header *header = &tally->modify->qcow2->header;
    uint64_t descriptor = descriptor_of(entry);
    uint64_t former = descriptor_of(stored);
    bool is_compressed = qcow2_l2_is_compressed(descriptor);
    uint64_t mask = is_compressed ? UINT64_MAX : QCOW2_L2_OFFSET_MASK;
    uint64_t off;
    uint64_t len;
    qcow2_l2_range(header, descriptor, &off, &len);
    if (tally->modify->is_data_external || off == 0 ||
        (is_compressed == qcow2_l2_is_compressed(former) && (descriptor & mask) == (former & mask))) {
        return true;
    }
    uint64_t end = (off + len - 1) >> header->cluster_bits;
    for (uint64_t cluster = off >> header->cluster_bits; cluster <= end; cluster++) { /* ends: two, at most */
        RETURN_IF_FAILED(tally_add(tally, cluster, error));
    }
    return true;
}

static bool slice_take_back(struct qcow2_modify *modify, struct qcow2_slice *slice, struct error *error)
{
    uint32_t entry_len = qcow2_l2_entry_len(&modify->qcow2->header);
    struct tally tally = {.modify = modify};
    slice->is_dirty = false;
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, slice->off, modify->bounce,
                                modify->slices.len, error));
    for (uint32_t at = 0; at < modify->slices.len; at += entry_len) {
        RETURN_IF_FAILED(entry_take_back(&tally, slice->bytes + at, modify->bounce + at, error));
    }
    slice->off = 0;
    return tally_end(&tally, error);
}

/* Whether the file has in the table what was there before it: without another one, zeros. */
static bool table_is_as_before(struct qcow2_modify *modify, const struct qcow2_new_table *table, bool *ret_is,
                               struct error *error)
{
    struct cache *cache = modify->image->environment->cache;
    uint64_t old_off = table->old_entry & QCOW2_L1_OFFSET_MASK;
    uint32_t part_len = (uint32_t)min_u64(modify->cluster_len, QCOW2_STORE_LEN_MAX);
    *ret_is = true;
    memset(modify->bounce, 0, part_len);
    for (uint64_t done = 0; done < modify->cluster_len && *ret_is; done += part_len) {
        RETURN_IF_FAILED(cache_read(cache, modify->target.file, table->off + done, modify->store, part_len, error));
        RETURN_IF_FAILED(old_off == 0 ||
                         cache_read(cache, modify->target.file, old_off + done, modify->bounce, part_len, error));
        *ret_is = memcmp(modify->store, modify->bounce, part_len) == 0;
    }
    return true;
}

/* The image refers to the table before it again, as snapshots do. *ret_can false: it is nobody's any more. */
static bool refer_to_old(struct qcow2_modify *modify, const struct qcow2_new_table *table, bool *ret_can,
                         struct error *error)
{
    uint64_t cluster = (table->old_entry & QCOW2_L1_OFFSET_MASK) >> modify->qcow2->header.cluster_bits;
    uint64_t references;
    bool is_known;
    *ret_can = true;
    if (cluster == 0) {
        return true;
    }
    if (!table->is_old_released) {
        qcow2_releases_remove(&modify->tables, cluster, 1);
        return true;
    }
    RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster, &references, &is_known, error));
    *ret_can = is_known && references > 0;
    return !*ret_can || (qcow2_modify_count(modify, cluster, 1, 1, error) && qcow2_modify_flush(modify, error));
}

static bool table_take_back(struct qcow2_modify *modify, const struct qcow2_new_table *table, struct error *error)
{
    uint64_t entry_off = modify->qcow2->header.l1_off + table->index * sizeof(struct be64);
    uint64_t entry = 0;
    bool gives_way = table->index < modify->qcow2->header.l1_entry_count;
    RETURN_IF_FAILED(!gives_way ||
                     cache_read_be64(modify->image->environment->cache, modify->target.file, entry_off, &entry, error));
    gives_way = entry == (table->off | QCOW2_COPIED);
    RETURN_IF_FAILED(!gives_way || table_is_as_before(modify, table, &gives_way, error));
    RETURN_IF_FAILED(!gives_way || refer_to_old(modify, table, &gives_way, error));
    if (!gives_way) {
        return true;
    }
    RETURN_IF_FAILED(qcow2_modify_store_be64(modify, entry_off, table->old_entry, QCOW2_AREA_L1, error));
    qcow2_slices_forget(&modify->slices, table->off, modify->cluster_len);
    qcow2_modify_loosen(modify, table->off, 1);
    return true;
}

bool qcow2_modify_take_back(struct qcow2_modify *modify, struct error *error)
{
    struct qcow2_new_table table;
    RETURN_IF_FAILED(target_revive(&modify->target, error));
    modify->is_taking_back = true;
    modify->bounce_write = NULL;
    modify->releases.count = 0;
    RETURN_IF_FAILED(qcow2_modify_pack_drop(modify, error));
    for (uint32_t i = 0; i < QCOW2_SLICE_COUNT; i++) {
        struct qcow2_slice *slice = &modify->slices.list[i];
        RETURN_IF_FAILED(!slice->is_dirty || slice_take_back(modify, slice, error));
    }
    while (qcow2_new_tables_take(&modify->new_tables, &table)) { /* ends: QCOW2_NEW_TABLE_MAX */
        RETURN_IF_FAILED(table_take_back(modify, &table, error));
    }
    if (modify->tables.count > 0 || modify->loose.count > 0) { /* nothing in the file leads there any more */
        RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    }
    return qcow2_modify_release_list(modify, &modify->tables, error) &&
           qcow2_modify_release_list(modify, &modify->loose, error) && qcow2_modify_give_back(modify, error);
}

/* What the file had of its last cluster is all of it, unless something was written there: zeros are there anyway. */
static bool find_kept_end(struct qcow2_modify *modify, uint64_t used_end, uint64_t *ret_len, struct error *error)
{
    struct file *file = modify->target.file;
    uint64_t len = modify->uncut_len;
    bool is_same_cluster = used_end == round_up(len, modify->cluster_len);
    *ret_len = max_u64(len, used_end);
    if (!is_same_cluster || min_u64(used_end, file->len) <= len) {
        return true;
    }
    size_t rest = (size_t)(min_u64(used_end, file->len) - len);
    RETURN_IF_FAILED(file_read(file, len, modify->bounce, rest, error));
    *ret_len = bytes_are_zero((struct span){modify->bounce, rest}) ? len : used_end;
    return true;
}

/*
 * Whether nothing that was taken behind the former end is counted. What else is counted there was so before, as in no
 * sound image, and entries in the file lead only to what is counted.
 */
static bool has_nothing_behind(const struct qcow2_modify *modify)
{
    return modify->counted_behind <= 0 && !modify->may_count_behind;
}

static bool cut_file(struct qcow2_modify *modify, struct error *error)
{
    struct file *file = modify->target.file;
    uint64_t used_end;
    uint64_t len;
    if (has_nothing_behind(modify)) {
        used_end = round_up(modify->uncut_len, modify->cluster_len);
    } else {
        RETURN_IF_FAILED(qcow2_modify_drop_empty_blocks(modify, modify->uncut_len, error));
        RETURN_IF_FAILED(qcow2_modify_used_end(modify, &used_end, error));
    }
    RETURN_IF_FAILED(find_kept_end(modify, used_end, &len, error));
    return !file->is_resizable || file->len <= len || target_set_len(&modify->target, file, len, error);
}

/*
 * What the disk has got so far is noted, and more than that, perhaps: with these bits, bitmaps fit it. They may need
 * room for that; if there is none, they stay in use.
 */
static bool keep_bitmaps(struct qcow2_modify *modify, struct error *error)
{
    return qcow2_modify_track_end(modify, error) && qcow2_modify_give_back(modify, error);
}

void qcow2_modify_abandon(struct target *target)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    struct error ignored = {0}; /* the one that there was is the one to tell; what is not given back is a leak */
    bool is_done = qcow2_modify_take_back(modify, &ignored);
    if (is_done && !keep_bitmaps(modify, &ignored)) {
        is_done = qcow2_modify_take_back(modify, &ignored);
    }
    is_done = (is_done || has_nothing_behind(modify)) && cut_file(modify, &ignored);
    (void)is_done;
}

void qcow2_modify_keep_len(struct qcow2_modify *modify)
{
    modify->uncut_len = max_u64(modify->uncut_len, modify->target.file->len);
}
