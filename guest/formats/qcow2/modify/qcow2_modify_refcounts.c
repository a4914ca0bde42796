/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of references that change, and new ones (qcow2.txt, "Host cluster management"). */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

/* Counters that are changed by one write. */
#define COUNT_LEN_MAX 4096u

/* Counters of one block, in whole bytes of it that fit into `bytes`. */
/* A cluster's count becomes another one: whether all that was taken behind the former end has been given back. */
static void note_behind(struct qcow2_modify *modify, uint64_t cluster, bool was_counted, bool is_counted)
{
    if (cluster >= divide_up(modify->uncut_len, modify->cluster_len)) {
        modify->counted_behind += (int64_t)is_counted - (int64_t)was_counted;
        modify->may_count_behind |= was_counted && !is_counted && !modify->is_taking_back;
    }
}

/* `first` is the number of the block's first cluster. */
static bool count_part(struct qcow2_modify *modify, uint64_t block_off, uint64_t first, uint64_t index, uint64_t count,
                       int64_t change, struct error *error)
{
    uint8_t bytes[COUNT_LEN_MAX + 16];
    uint32_t order = modify->qcow2->header.refcount_order;
    uint64_t first_byte = (index << order) / 64 * 8; /* whole words, so that counters are at their places */
    uint64_t end_byte = round_up(((index + count) << order) + 7, 64) / 8;
    uint64_t first_index = first_byte * 8 >> order;
    end_byte = min_u64(end_byte, modify->cluster_len);
    /* Refused before anything is noted: what cannot be written is not counted. */
    RETURN_IF_FAILED(qcow2_overlap_check(&modify->overlap, block_off + first_byte, end_byte - first_byte,
                                         QCOW2_AREA_REFCOUNT_BLOCK, error));
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, block_off + first_byte, bytes,
                                (size_t)(end_byte - first_byte), error));
    for (uint64_t i = index - first_index; i < index - first_index + count; i++) {
        uint64_t value = qcow2_refcount_get(bytes, order, i);
        bool is_too_small = change < 0 && value < -(uint64_t)change; /* that is for a check to tell */
        uint64_t new_value = is_too_small ? 0 : value + (uint64_t)change;
        qcow2_refcount_set(bytes, order, i, new_value);
        note_behind(modify, first + first_index + i, value != 0, new_value != 0);
    }
    return qcow2_modify_store(modify, block_off + first_byte, bytes, (uint32_t)(end_byte - first_byte),
                              QCOW2_AREA_REFCOUNT_BLOCK, error);
}

bool qcow2_modify_count(struct qcow2_modify *modify, uint64_t cluster, uint64_t count, int64_t change,
                        struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t block_entries = 1ull << qcow2_refcount_block_bits(header);
    uint64_t part_max = ((uint64_t)COUNT_LEN_MAX * 8) >> header->refcount_order;
    while (count > 0) { /* ends: each round deals with a cluster at least */
        enum qcow2_refcount_block_kind kind;
        uint64_t block_off;
        uint64_t index = cluster & (block_entries - 1);
        uint64_t part = min_u64(min_u64(count, block_entries - index), part_max);
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, cluster >> qcow2_refcount_block_bits(header), &kind,
                                              &block_off, error));
        if (kind == QCOW2_REFCOUNTS_STORED) {
            if (block_off + modify->cluster_len > modify->target.file->len) {
                return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                                 "Refcount block lies behind the end of the file");
            }
            RETURN_IF_FAILED(count_part(modify, block_off, cluster - index, index, part, change, error));
        } else if (change > 0 || kind == QCOW2_REFCOUNTS_UNREADABLE) {
            return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                             "Refblock offset %#llx unaligned (reftable index: %#llx)", (unsigned long long)block_off,
                             (unsigned long long)(cluster >> qcow2_refcount_block_bits(header)));
        }
        cluster += part;
        count -= part;
    }
    return true;
}

bool qcow2_modify_find_odd_blocks(struct qcow2_modify *modify, bool *ret_has, struct error *error)
{
    uint64_t count = qcow2_refcount_table_len(&modify->qcow2->header) / sizeof(struct be64);
    *ret_has = false;
    for (uint64_t block = 0; block < count && !*ret_has; block++) { /* ends: a table has 8 MiB at most */
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        *ret_has = kind == QCOW2_REFCOUNTS_UNREADABLE;
    }
    return true;
}

/* A new block that counts clusters from `first` on; those before `used_end` have one reference. */
static bool block_write(struct qcow2_modify *modify, uint64_t off, uint64_t first, uint64_t used_end,
                        struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t part_entries = ((uint64_t)min_u64(QCOW2_STORE_LEN_MAX, modify->cluster_len) * 8) >> header->refcount_order;
    uint64_t part_len = min_u64(QCOW2_STORE_LEN_MAX, modify->cluster_len);
    for (uint64_t done = 0; done < modify->cluster_len; done += part_len) {
        memset(modify->store, 0, part_len);
        for (uint64_t i = 0; i < part_entries && first + i < used_end; i++) {
            qcow2_refcount_set(modify->store, header->refcount_order, i, 1);
        }
        RETURN_IF_FAILED(qcow2_modify_write(modify, off + done, modify->store, part_len, 0, error));
        first += part_entries;
    }
    modify->may_count_behind = true;
    qcow2_overlap_add(&modify->overlap, QCOW2_AREA_REFCOUNT_BLOCK, off, modify->cluster_len);
    return true;
}

static void used_to(struct qcow2_modify *modify, uint64_t end_cluster)
{
    modify->end_cluster = max_u64(modify->end_cluster, end_cluster);
    modify->append_next = max_u64(modify->append_next, end_cluster);
}

/* How a table that is too short is replaced: new blocks, then the new table, from cluster `first` on. */
struct growth {
    uint64_t first_block; /* index */
    uint64_t block_count;
    uint64_t first; /* cluster */
    uint64_t table_clusters;
};

/*
 * As large a table as QEMU would make, about: half as many entries more than it has, and what covers the table itself.
 */
static bool plan_growth(const struct qcow2_modify *modify, uint64_t table_clusters, uint64_t block,
                        uint64_t entries_min, struct growth *ret_growth, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t block_entries = 1ull << qcow2_refcount_block_bits(header);
    uint64_t table_entries = modify->cluster_len / sizeof(struct be64); /* of a cluster of it */
    uint64_t clusters_max = QCOW2_REFCOUNT_TABLE_LEN_MAX / modify->cluster_len;
    struct growth growth = {
        .first_block = block,
        .block_count = 1,
        .first = block * block_entries,
        .table_clusters = min_u64(table_clusters * 3 / 2 + 1, clusters_max),
    };
    while (growth.table_clusters * table_entries < max_u64(block + growth.block_count, entries_min) ||
           growth.block_count * block_entries < growth.block_count + growth.table_clusters) {
        /* Ends: both grow, and the table's length has a limit. */
        uint64_t entries = max_u64(block + growth.block_count, entries_min);
        if (growth.table_clusters * table_entries < entries) {
            growth.table_clusters = (entries + table_entries - 1) / table_entries;
        } else {
            growth.block_count++;
        }
        if (growth.table_clusters > clusters_max) {
            return error_set(error, ERROR_NO_SPACE, modify->target.file->name,
                             "the image's refcount table cannot become longer");
        }
    }
    *ret_growth = growth;
    return true;
}

static bool table_grow(struct qcow2_modify *modify, uint64_t block, uint64_t entries_min, struct error *error)
{
    struct qcow2_header *header = &modify->qcow2->header;
    struct growth growth;
    RETURN_IF_FAILED(plan_growth(modify, header->refcount_table_clusters, block, entries_min, &growth, error));
    uint64_t table_cluster = growth.first + growth.block_count;
    uint64_t used_end = table_cluster + growth.table_clusters;
    uint64_t table_off = table_cluster << header->cluster_bits;
    for (uint64_t i = 0; i < growth.block_count; i++) {
        uint64_t first = growth.first + (i << qcow2_refcount_block_bits(header));
        RETURN_IF_FAILED(block_write(modify, (growth.first + i) << header->cluster_bits, first, used_end, error));
    }
    RETURN_IF_FAILED(qcow2_modify_copy_table(modify, table_off, growth.table_clusters << header->cluster_bits,
                                             header->refcount_table_off, qcow2_refcount_table_len(header), error));
    for (uint64_t i = 0; i < growth.block_count; i++) {
        RETURN_IF_FAILED(qcow2_modify_store_be64(modify, table_off + (growth.first_block + i) * sizeof(struct be64),
                                                 (growth.first + i) << header->cluster_bits, 0, error));
    }
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    struct {
        struct be64 off;
        struct be32 clusters;
    } words = {be64_make(table_off), be32_make((uint32_t)growth.table_clusters)};
    _Static_assert(sizeof(words) == 12, "as in the header");
    RETURN_IF_FAILED(qcow2_modify_store(modify, QCOW2_HEADER_OFF(refcount_table_offset), &words, sizeof(words),
                                        QCOW2_AREA_HEADER, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    uint64_t old_off = header->refcount_table_off;
    uint64_t old_clusters = header->refcount_table_clusters;
    header->refcount_table_off = table_off;
    header->refcount_table_clusters = (uint32_t)growth.table_clusters;
    used_to(modify, used_end);
    return qcow2_modify_count(modify, old_off >> header->cluster_bits, old_clusters, -1, error);
}

bool qcow2_modify_make_counters(struct qcow2_modify *modify, uint64_t cluster, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t block = cluster >> qcow2_refcount_block_bits(header);
    uint64_t first = block << qcow2_refcount_block_bits(header);
    enum qcow2_refcount_block_kind kind;
    uint64_t off;
    RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
    if (kind != QCOW2_REFCOUNTS_ZERO) {
        return kind == QCOW2_REFCOUNTS_STORED || error_set(error, ERROR_MALFORMED, modify->target.file->name,
                                                           "Refblock offset %#llx unaligned (reftable index: %#llx)",
                                                           (unsigned long long)off, (unsigned long long)block);
    }
    if (block == 0) { /* the header has no counter: what else has lost its own, and how many it were, nobody knows */
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "Preventing invalid allocation of refcount block at offset 0");
    }
    if (block >= qcow2_refcount_table_len(header) / sizeof(struct be64)) {
        /* With blocks of its own, where no cluster is that may be somebody's. */
        return table_grow(modify, first < cluster ? block + 1 : block, 0, error);
    }
    /*
     * The block counts itself. What is before it has had no counters: it counts as used, as it may be somebody's where
     * the table is damaged.
     */
    RETURN_IF_FAILED(block_write(modify, cluster << header->cluster_bits, first, cluster + 1, error));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    RETURN_IF_FAILED(qcow2_modify_store_be64(modify, header->refcount_table_off + block * sizeof(struct be64),
                                             cluster << header->cluster_bits, QCOW2_AREA_REFCOUNT_TABLE, error));
    used_to(modify, cluster + 1);
    return true;
}

/* Clusters that are free and counted within the image, where find_free would look (qcow2_modify_clusters.c). */
static bool count_room_within(struct qcow2_modify *modify, uint64_t enough, uint64_t *ret_count, struct error *error)
{
    uint32_t block_bits = qcow2_refcount_block_bits(&modify->qcow2->header);
    uint64_t end = min_u64(modify->target.file->len >> modify->qcow2->header.cluster_bits, modify->append_next);
    uint64_t left = modify->search_left;
    uint64_t count = 0;
    for (uint64_t cluster = modify->search_next; cluster < end && left > 0 && count < enough; cluster++) {
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        uint64_t references;
        bool is_known;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, cluster >> block_bits, &kind, &off, error));
        if (kind == QCOW2_REFCOUNTS_ZERO) {
            cluster |= (1ull << block_bits) - 1;
            continue;
        }
        RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster, &references, &is_known, error));
        count += references == 0 && is_known;
        left -= references != 0 || !is_known;
    }
    *ret_count = count;
    return true;
}

bool qcow2_modify_count_room(struct qcow2_modify *modify, uint64_t enough, uint64_t *ret_count, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint32_t block_bits = qcow2_refcount_block_bits(header);
    uint64_t end = modify->target.file->len >> header->cluster_bits;
    uint64_t cluster = modify->append_next;
    uint64_t table_clusters = header->refcount_table_clusters;
    uint64_t count;
    RETURN_IF_FAILED(count_room_within(modify, enough, &count, error));
    count += modify->reserve.end - modify->reserve.next;
    while (cluster < end && count < enough) { /* ends: each round goes on to another block */
        uint64_t block = cluster >> block_bits;
        uint64_t blocks_end = (block + 1) << block_bits;
        uint64_t first = cluster;
        if (block >= table_clusters * (modify->cluster_len / sizeof(struct be64))) {
            struct growth growth = {.block_count = 1};
            RETURN_IF_FAILED(plan_growth(modify, table_clusters, block, 0, &growth, error));
            bool is_start = cluster == growth.first; /* otherwise it would begin with the next block */
            table_clusters = is_start ? growth.table_clusters : table_clusters;
            first = is_start ? cluster + growth.block_count + growth.table_clusters : blocks_end;
            blocks_end = is_start ? (block + growth.block_count) << block_bits : blocks_end;
        } else {
            enum qcow2_refcount_block_kind kind;
            uint64_t off;
            RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
            first += kind == QCOW2_REFCOUNTS_ZERO; /* a block, which counts itself */
        }
        cluster = min_u64(blocks_end, end);
        count += cluster - min_u64(first, cluster);
    }
    *ret_count = count;
    return true;
}

/* Behind the last block that there is. */
static bool find_blocks_end(struct qcow2_modify *modify, uint64_t *ret_block, struct error *error)
{
    uint64_t block = qcow2_refcount_table_len(&modify->qcow2->header) / sizeof(struct be64);
    enum qcow2_refcount_block_kind kind = QCOW2_REFCOUNTS_ZERO;
    uint64_t off;
    while (block > 0 && kind == QCOW2_REFCOUNTS_ZERO) { /* ends: a table has a length, of 8 MiB at most */
        block--;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
    }
    *ret_block = kind == QCOW2_REFCOUNTS_ZERO ? 0 : block + 1;
    return true;
}

bool qcow2_modify_make_region(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_cluster, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint32_t block_bits = qcow2_refcount_block_bits(header);
    uint64_t block_count = count / ((1ull << block_bits) - 1) + 1;
    uint64_t block;
    RETURN_IF_FAILED(find_blocks_end(modify, &block, error));
    block = max_u64(block, (modify->append_next + (1ull << block_bits) - 1) >> block_bits);
    if (block + block_count > qcow2_refcount_table_len(header) / sizeof(struct be64)) {
        /* The new table comes with blocks of its own, where this region would have begun. */
        RETURN_IF_FAILED(table_grow(modify, block, block + 2 * block_count + 2, error));
        RETURN_IF_FAILED(find_blocks_end(modify, &block, error));
    }
    if (block + block_count > qcow2_refcount_table_len(header) / sizeof(struct be64)) {
        return error_set(error, ERROR_NO_SPACE, modify->target.file->name,
                         "the image's refcount table cannot become longer");
    }
    uint64_t first = block << block_bits;
    uint64_t end = first + block_count + count;
    RETURN_IF_FAILED(qcow2_overlap_check(&modify->overlap, first << header->cluster_bits,
                                         (end - first) << header->cluster_bits, 0, error));
    for (uint64_t i = 0; i < block_count; i++) {
        RETURN_IF_FAILED(
            block_write(modify, (first + i) << header->cluster_bits, first + (i << block_bits), end, error));
    }
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    for (uint64_t i = 0; i < block_count; i++) {
        RETURN_IF_FAILED(qcow2_modify_store_be64(modify, header->refcount_table_off + (block + i) * sizeof(struct be64),
                                                 (first + i) << header->cluster_bits, QCOW2_AREA_REFCOUNT_TABLE,
                                                 error));
    }
    used_to(modify, end);
    *ret_cluster = first + block_count;
    return true;
}

/* Whether nothing is counted in the block number `index`, but for its own cluster. */
static bool block_is_empty(struct qcow2_modify *modify, uint64_t index, uint64_t block_off, bool *ret_is_empty,
                           struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint32_t per_word = 64u >> header->refcount_order;
    uint64_t own = (block_off >> header->cluster_bits) - (index << qcow2_refcount_block_bits(header));
    *ret_is_empty = true;
    for (uint64_t done = 0; done < modify->cluster_len && *ret_is_empty;) { /* ends: views are not empty */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(modify->image->environment->cache, modify->target.file, block_off + done,
                                    modify->cluster_len - done, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += sizeof(word)) {
            uint64_t first = (done + at) * 8 >> header->refcount_order;
            for (uint32_t i = 0; be64_get(word) != 0 && i < per_word; i++) {
                uint64_t value = qcow2_refcount_get(&word, header->refcount_order, i);
                *ret_is_empty = *ret_is_empty && (value == 0 || (value == 1 && first + i == own));
            }
        }
        done += view.len;
    }
    return true;
}

bool qcow2_modify_drop_empty_blocks(struct qcow2_modify *modify, uint64_t first_off, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    for (uint64_t index = qcow2_refcount_table_len(header) / sizeof(struct be64); index > 0; index--) {
        uint64_t block = index - 1;
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        bool is_empty;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        if (kind != QCOW2_REFCOUNTS_STORED || off < first_off || off + modify->cluster_len > modify->target.file->len) {
            continue;
        }
        RETURN_IF_FAILED(block_is_empty(modify, block, off, &is_empty, error));
        if (!is_empty) {
            continue;
        }
        RETURN_IF_FAILED(qcow2_modify_store_be64(modify, header->refcount_table_off + block * sizeof(struct be64), 0,
                                                 QCOW2_AREA_REFCOUNT_TABLE, error));
        uint64_t cluster = off >> header->cluster_bits;
        if (cluster >> qcow2_refcount_block_bits(header) != block) { /* another one counts it */
            RETURN_IF_FAILED(qcow2_modify_flush(modify, error) && qcow2_modify_count(modify, cluster, 1, -1, error));
        }
    }
    return true;
}
