/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/layout/qcow2_refcount_block.h"
#include "guest/formats/qcow2/repair/qcow2_repair.h"

#define BUFFER_ALIGN 4096u
/* In the new table: a block that has no place yet. No block has this offset. */
#define WANTED 1u

struct rebuild {
    struct qcow2_repair *repair;
    struct qcow2_check *check;
    struct be64 *table; /* the new refcount table */
    uint64_t entry_max;
    uint64_t entry_count; /* behind the last block */
    uint64_t wanted_count;
    uint64_t next_wanted; /* none before this entry */
    uint64_t append_next; /* the first cluster behind the file, and behind all that were placed there */
    uint64_t table_first; /* cluster */
    uint64_t table_clusters;
    bool has_counted;  /* the counters have all of the file, and what was placed */
    bool is_switching; /* the header that leads to the new table may be in the file */
};

static uint32_t block_bits(const struct rebuild *rebuild)
{
    return qcow2_refcount_block_bits(rebuild->check->header);
}

static uint64_t clusters_of(const struct rebuild *rebuild, uint64_t len)
{
    return (len + rebuild->check->header->cluster_len - 1) >> rebuild->check->header->cluster_bits;
}

/* The block that counts this cluster is needed. */
static bool want_block_of(struct rebuild *rebuild, uint64_t cluster, struct error *error)
{
    uint64_t block = cluster >> block_bits(rebuild);
    if (block >= rebuild->entry_max) {
        return error_set(error, ERROR_NO_SPACE, rebuild->check->image->file->name,
                         "the image's refcount table cannot become longer");
    }
    if (be64_get(rebuild->table[block]) == 0) {
        rebuild->table[block] = be64_make(WANTED);
        rebuild->entry_count = max_u64(rebuild->entry_count, block + 1);
        rebuild->next_wanted = min_u64(rebuild->next_wanted, block);
        rebuild->wanted_count++;
    }
    return true;
}

/* The first block that has no place gets this cluster. There is such a block. */
static bool place_block(struct rebuild *rebuild, uint64_t cluster, struct error *error)
{
    while (be64_get(rebuild->table[rebuild->next_wanted]) != WANTED) { /* ends: there is one, and none before it */
        rebuild->next_wanted++;
    }
    rebuild->table[rebuild->next_wanted] = be64_make(cluster << rebuild->check->header->cluster_bits);
    rebuild->wanted_count--;
    return want_block_of(rebuild, cluster, error);
}

/* Behind everything. */
static bool append_blocks(struct rebuild *rebuild, struct error *error)
{
    while (rebuild->wanted_count > 0) { /* ends: a block counts itself, or clusters behind it */
        RETURN_IF_FAILED(place_block(rebuild, rebuild->append_next++, error));
    }
    return true;
}

/* What was placed counts, in the window. */
static void count_placed(struct rebuild *rebuild)
{
    struct qcow2_counters *counters = &rebuild->check->counters;
    for (uint64_t i = 0; i < rebuild->entry_count; i++) {
        uint64_t off = be64_get(rebuild->table[i]);
        if (off > WANTED) {
            (void)qcow2_counters_add(counters, off >> rebuild->check->header->cluster_bits);
        }
    }
    for (uint64_t i = 0; i < rebuild->table_clusters; i++) {
        (void)qcow2_counters_add(counters, rebuild->table_first + i);
    }
}

/*
 * Blocks that a check does not count, as their entries have reserved bits set, but whose counts are read all the same:
 * they stay until the new ones are valid. QEMU writes over them.
 */
static bool count_old_blocks(struct rebuild *rebuild, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    const struct qcow2_header *header = check->header;
    uint64_t table_len = qcow2_refcount_table_len(header);
    for (uint64_t done = 0; done < table_len;) { /* ends: a view has an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(check->image->environment->cache, check->image->file,
                                    header->refcount_table_off + done, table_len - done, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word)) {
            uint64_t off = be64_get(word) & QCOW2_REFCOUNT_OFFSET_MASK;
            bool has_reserved = (be64_get(word) & QCOW2_REFCOUNT_RESERVED_MASK) != 0;
            if (has_reserved && off % header->cluster_len == 0 && off < check->file_len) {
                (void)qcow2_counters_add(&check->counters, off >> header->cluster_bits);
            }
        }
        done += view.len;
    }
    return true;
}

/* Counts in a window of the file: references of now, so that what was placed lies where nothing is yet. */
static bool count_window(struct rebuild *rebuild, uint64_t first, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    if (rebuild->has_counted) {
        return true;
    }
    qcow2_counters_begin(&check->counters, first, check->cluster_count + 1 - first);
    RETURN_IF_FAILED(qcow2_check_count(check, error));
    RETURN_IF_FAILED(count_old_blocks(rebuild, error));
    count_placed(rebuild);
    rebuild->has_counted = qcow2_check_has_all(check);
    return true;
}

static uint64_t window_end(const struct qcow2_check *check)
{
    return min_u64(check->counters.first + check->counters.count, check->cluster_count);
}

static bool is_free(const struct qcow2_check *check, uint64_t cluster)
{
    return qcow2_counters_get(&check->counters, cluster - check->counters.first) == 0;
}

/* The part of one block's range that is in the window: whether the block is needed, and places there for blocks. */
static bool place_in_part(struct rebuild *rebuild, uint64_t first, uint64_t end, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    bool is_used = false;
    for (uint64_t cluster = first; cluster < end && !is_used; cluster++) {
        is_used = !is_free(check, cluster);
    }
    RETURN_IF_FAILED(!is_used || want_block_of(rebuild, first, error));
    for (uint64_t cluster = first; cluster < end && rebuild->wanted_count > 0; cluster++) {
        if (is_free(check, cluster)) {
            (void)qcow2_counters_add(&check->counters, cluster);
            RETURN_IF_FAILED(place_block(rebuild, cluster, error));
        }
    }
    return true;
}

static bool place_blocks(struct rebuild *rebuild, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    for (uint64_t first = 0; first < check->cluster_count;) { /* ends: windows have clusters */
        RETURN_IF_FAILED(count_window(rebuild, first, error));
        uint64_t end = window_end(check);
        while (first < end) {
            uint64_t part_end = min_u64(((first >> block_bits(rebuild)) + 1) << block_bits(rebuild), end);
            RETURN_IF_FAILED(place_in_part(rebuild, first, part_end, error));
            first = part_end;
        }
    }
    rebuild->append_next = check->cluster_count;
    return append_blocks(rebuild, error);
}

/* The first run of free clusters that is long enough, or the one at the end. */
static bool place_run(struct rebuild *rebuild, uint64_t count, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    uint64_t run = 0;
    for (uint64_t first = 0; first < check->cluster_count;) { /* ends: windows have clusters */
        RETURN_IF_FAILED(count_window(rebuild, first, error));
        for (uint64_t end = window_end(check); first < end; first++) {
            run = is_free(check, first) ? run + 1 : 0;
            if (run == count) {
                rebuild->table_first = first + 1 - count;
                return true;
            }
        }
    }
    if (rebuild->append_next > check->cluster_count) {
        run = 0;
    }
    rebuild->table_first = rebuild->append_next - run;
    rebuild->append_next = rebuild->table_first + count;
    return true;
}

/* A place for the table, and blocks for it where there are none yet, which may make it longer. */
static bool place_table(struct rebuild *rebuild, struct error *error)
{
    uint64_t count;
    do { /* ends: each round needs more clusters, and entry_max bounds them */
        count = clusters_of(rebuild, rebuild->entry_count * sizeof(struct be64));
        RETURN_IF_FAILED(place_run(rebuild, count, error));
        for (uint64_t i = 0; i < count; i++) {
            RETURN_IF_FAILED(want_block_of(rebuild, rebuild->table_first + i, error));
        }
        RETURN_IF_FAILED(append_blocks(rebuild, error));
    } while (clusters_of(rebuild, rebuild->entry_count * sizeof(struct be64)) > count);
    rebuild->table_clusters = count;
    return true;
}

/* Counts of one block, which are in the window and begin at a sector of it. */
static bool write_part(struct rebuild *rebuild, uint64_t first, uint64_t end, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    uint32_t order = check->header->refcount_order;
    uint64_t in_block = first & ((1ull << block_bits(rebuild)) - 1);
    uint64_t block_off = be64_get(rebuild->table[first >> block_bits(rebuild)]);
    uint64_t len = round_up(((end - first) << order) / 8, SECTOR_LEN); /* a cluster at most */
    if (block_off == 0) {
        return true;
    }
    memset(check->buffer, 0, len);
    for (uint64_t cluster = first; cluster < end; cluster++) {
        uint64_t count = qcow2_counters_get(&check->counters, cluster - check->counters.first);
        if (count != 0) {
            qcow2_refcount_set(check->buffer, order, cluster - first, count);
        }
    }
    return qcow2_repair_write(rebuild->repair, block_off + ((in_block << order) / 8), check->buffer, len, error);
}

/* All new blocks: what refers to clusters without the table and the blocks of before, and with the new ones. */
static bool write_blocks(struct rebuild *rebuild, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    uint64_t total = rebuild->entry_count << block_bits(rebuild);
    uint64_t sector_counts = (SECTOR_LEN * 8ull) >> check->header->refcount_order;
    check->leaves_refcounts_out = true;
    for (uint64_t first = 0; first < total;) { /* ends: a window has the counts of a sector at least */
        qcow2_counters_begin(&check->counters, first, total - first);
        RETURN_IF_FAILED(first >= check->referenced_end || qcow2_check_count(check, error));
        count_placed(rebuild);
        uint64_t end = first + check->counters.count;
        end = end < total ? round_down(end, sector_counts) : total;
        while (first < end) {
            uint64_t part_end = min_u64(((first >> block_bits(rebuild)) + 1) << block_bits(rebuild), end);
            RETURN_IF_FAILED(write_part(rebuild, first, part_end, error));
            first = part_end;
        }
    }
    check->leaves_refcounts_out = false;
    return true;
}

static bool take_table(struct rebuild *rebuild, struct error *error)
{
    struct qcow2_check *check = rebuild->check;
    /* Of n clusters, n/63 are blocks at most, and fewer tables: these may have to be appended. */
    uint64_t entry_max = ((check->cluster_count + check->cluster_count / 32) >> block_bits(rebuild)) + 64;
    uint64_t len = round_up(entry_max * sizeof(struct be64), check->header->cluster_len);
    len = min_u64(len, QCOW2_REFCOUNT_TABLE_LEN_MAX);
    rebuild->table = arena_allocate(check->image->environment->arena, len, BUFFER_ALIGN);
    rebuild->entry_max = len / sizeof(struct be64);
    return rebuild->table != NULL ||
           error_set(error, ERROR_LIMIT, check->image->file->name, "no memory is left for the refcount table");
}

/* From now on the new counts are valid. */
static bool commit(struct rebuild *rebuild, struct error *error)
{
    struct qcow2_repair *repair = rebuild->repair;
    struct qcow2_header *header = &repair->qcow2->header;
    uint64_t table_off = rebuild->table_first << header->cluster_bits;
    const struct {
        struct be64 refcount_table_off;
        struct be32 refcount_table_clusters;
    } words = {be64_make(table_off), be32_make((uint32_t)rebuild->table_clusters)};
    _Static_assert(sizeof(words) == 12, "as in the header");
    RETURN_IF_FAILED(
        qcow2_repair_write(repair, table_off, rebuild->table, rebuild->table_clusters << header->cluster_bits, error));
    RETURN_IF_FAILED(qcow2_repair_flush(repair, error));
    rebuild->is_switching = true;
    RETURN_IF_FAILED(qcow2_repair_store(repair, QCOW2_HEADER_OFF(refcount_table_offset), &words, sizeof(words), error));
    header->refcount_table_off = table_off;
    header->refcount_table_clusters = (uint32_t)rebuild->table_clusters;
    return qcow2_repair_flush(repair, error);
}

/* After a failure: nothing leads to what is behind the old end. */
static void cut_file(const struct rebuild *rebuild, uint64_t old_len)
{
    struct target *target = &rebuild->repair->target;
    struct error ignored = {0}; /* the one that there was is the one to tell */
    bool is_done = rebuild->is_switching || target->file->len <= old_len ||
                   (target_revive(target, &ignored) && target_set_len(target, target->file, old_len, &ignored));
    (void)is_done;
}

bool qcow2_rebuild(struct qcow2_repair *repair, struct error *error)
{
    uint64_t old_len = repair->target.file->len;
    struct rebuild rebuild = {
        .repair = repair,
        .check = &repair->check,
    };
    repair->check.is_first_pass = false;
    repair->check.is_recount = true;
    RETURN_IF_FAILED(!qcow2_check_has_all(&repair->check) || count_old_blocks(&rebuild, error));
    rebuild.has_counted = qcow2_check_has_all(&repair->check);
    if (!take_table(&rebuild, error) || !place_blocks(&rebuild, error) || !place_table(&rebuild, error) ||
        !write_blocks(&rebuild, error) || !commit(&rebuild, error)) {
        cut_file(&rebuild, old_len);
        return false;
    }
    return true;
}
