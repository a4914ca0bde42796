/* SPDX-License-Identifier: Apache-2.0 */
/* Free clusters: found, reserved, handed out; and those that become free. */
#include "base/checked.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

/* Counters that are looked at for a run of neighbours: a tenth of a second. */
#define RUN_SEARCH_MAX (1ull << 20)

/* How many of up to `count` clusters from `cluster` on are free, in its block; there are counters. */
static bool count_free(struct qcow2_modify *modify, uint64_t cluster, uint64_t count, uint64_t *ret_count,
                       struct error *error)
{
    uint64_t block_entries = 1ull << qcow2_refcount_block_bits(&modify->qcow2->header);
    uint64_t left = min_u64(count, block_entries - (cluster & (block_entries - 1)));
    uint64_t free_count = 0;
    while (free_count < left) {
        uint64_t references;
        bool is_known;
        RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster + free_count, &references, &is_known, error));
        if (references != 0 || !is_known) {
            break;
        }
        free_count++;
    }
    *ret_count = free_count;
    return true;
}

static bool use(struct qcow2_modify *modify, uint64_t cluster, uint64_t count, struct error *error)
{
    uint64_t end = cluster + count;
    uint32_t bits = modify->qcow2->header.cluster_bits;
    /* No sound image has metadata in clusters that are free. */
    RETURN_IF_FAILED(qcow2_overlap_check(&modify->overlap, cluster << bits, count << bits, 0, error));
    RETURN_IF_FAILED(qcow2_modify_grow_to(modify, end << bits, error));
    /* Where another write has failed meanwhile, the counters may be in the file all the same. */
    qcow2_modify_loosen(modify, cluster << bits, count);
    RETURN_IF_FAILED(qcow2_modify_count(modify, cluster, count, 1, error));
    qcow2_modify_tie(modify, cluster << bits, count);
    modify->end_cluster = max_u64(modify->end_cluster, end);
    modify->append_next = max_u64(modify->append_next, end);
    return true;
}

/* Whether there are counters for the cluster; then *ret_next is it, otherwise the first one of the next block. */
static bool has_counters(struct qcow2_modify *modify, uint64_t cluster, bool *ret_has, uint64_t *ret_next,
                         struct error *error)
{
    uint32_t block_bits = qcow2_refcount_block_bits(&modify->qcow2->header);
    enum qcow2_refcount_block_kind kind;
    uint64_t off;
    RETURN_IF_FAILED(qcow2_refcount_block(modify->image, cluster >> block_bits, &kind, &off, error));
    if (kind == QCOW2_REFCOUNTS_UNREADABLE) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "Refblock offset %#llx unaligned (reftable index: %#llx)", (unsigned long long)off,
                         (unsigned long long)(cluster >> block_bits));
    }
    *ret_has = kind != QCOW2_REFCOUNTS_ZERO;
    *ret_next = *ret_has ? cluster : ((cluster >> block_bits) + 1) << block_bits;
    return true;
}

/*
 * The next free cluster, from search_next on; there are counters for it. Within the image, clusters without counters
 * are nobody's to take: in a damaged one, they may be somebody's.
 */
static bool find_free(struct qcow2_modify *modify, uint64_t *ret_cluster, uint64_t *ret_count, struct error *error)
{
    for (;;) { /* ends: when search_left is used up, only what is behind the end is looked at */
        bool has;
        uint64_t next;
        uint64_t count;
        if (modify->search_left == 0 && modify->search_next < modify->append_next) {
            modify->search_next = modify->append_next;
        }
        RETURN_IF_FAILED(has_counters(modify, modify->search_next, &has, &next, error));
        if (!has && modify->search_next < modify->append_next) {
            modify->search_next = min_u64(next, modify->append_next);
            continue;
        }
        if (!has) {
            RETURN_IF_FAILED(qcow2_modify_make_counters(modify, modify->search_next, error));
            continue;
        }
        RETURN_IF_FAILED(count_free(modify, modify->search_next, modify->reserve.wanted, &count, error));
        if (count > 0) {
            *ret_cluster = modify->search_next;
            *ret_count = count;
            modify->search_next += count;
            return true;
        }
        modify->search_next++;
        modify->search_left -= modify->search_left > 0;
    }
}

/* So many neighbours that are free, within the image. */
static bool find_run(struct qcow2_modify *modify, uint64_t count, bool *ret_is_found, uint64_t *ret_cluster,
                     struct error *error)
{
    uint64_t cluster = 1;
    uint64_t run = 0;
    for (uint64_t left = RUN_SEARCH_MAX; left > 0 && run < count && cluster < modify->append_next; left--) {
        bool has;
        uint64_t next;
        uint64_t found = 0;
        RETURN_IF_FAILED(has_counters(modify, cluster, &has, &next, error));
        if (has) {
            RETURN_IF_FAILED(count_free(modify, cluster, count - run, &found, error));
        }
        left -= min_u64(left - 1, found);
        run = found > 0 ? run + found : 0;
        cluster = found > 0 ? cluster + found : max_u64(next, cluster + 1);
    }
    *ret_is_found = run == count;
    *ret_cluster = cluster - run;
    return true;
}

/* Of `count` clusters, those that a file that cannot grow has; one at least, so that whoever uses it fails. */
static uint64_t count_that_fits(const struct qcow2_modify *modify, uint64_t cluster, uint64_t count)
{
    const struct file *file = modify->target.file;
    uint64_t end = file->len >> modify->qcow2->header.cluster_bits;
    if (file->is_resizable || cluster + count <= end) {
        return count;
    }
    return cluster < end ? end - cluster : 1;
}

bool qcow2_modify_take(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off, uint64_t *ret_count,
                       struct error *error)
{
    uint64_t cluster;
    if (qcow2_reserve_is_empty(&modify->reserve)) {
        uint64_t found;
        RETURN_IF_FAILED(find_free(modify, &cluster, &found, error));
        found = count_that_fits(modify, cluster, found); /* a reserve is no reason to fail */
        RETURN_IF_FAILED(use(modify, cluster, found, error));
        qcow2_reserve_fill(&modify->reserve, cluster, found);
    }
    *ret_count = qcow2_reserve_take(&modify->reserve, count, &cluster);
    *ret_off = cluster << modify->qcow2->header.cluster_bits;
    return true;
}

void qcow2_modify_take_behind(struct qcow2_modify *modify)
{
    modify->search_left = 0;
}

bool qcow2_modify_take_run(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off, struct error *error)
{
    bool is_found;
    uint64_t cluster;
    RETURN_IF_FAILED(find_run(modify, count, &is_found, &cluster, error));
    if (!is_found) {
        return qcow2_modify_append(modify, count, ret_off, error);
    }
    *ret_off = cluster << modify->qcow2->header.cluster_bits;
    return use(modify, cluster, count, error);
}

bool qcow2_modify_take_loose(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off, struct error *error)
{
    uint64_t off;
    RETURN_IF_FAILED(count == 1 ? qcow2_modify_take(modify, 1, &off, &count, error)
                                : qcow2_modify_take_run(modify, count, &off, error));
    qcow2_modify_loosen(modify, off, count);
    *ret_off = off;
    return true;
}

void qcow2_modify_loosen(struct qcow2_modify *modify, uint64_t off, uint64_t count)
{
    (void)qcow2_releases_add(&modify->loose, off >> modify->qcow2->header.cluster_bits, count);
}

void qcow2_modify_tie(struct qcow2_modify *modify, uint64_t off, uint64_t count)
{
    qcow2_releases_remove(&modify->loose, off >> modify->qcow2->header.cluster_bits, count);
}

void qcow2_modify_tie_all(struct qcow2_modify *modify)
{
    modify->loose.count = 0;
}

bool qcow2_modify_append(struct qcow2_modify *modify, uint64_t count, uint64_t *ret_off, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t block_entries = 1ull << qcow2_refcount_block_bits(header);
    uint64_t cluster;
    if (count > block_entries - 1) {
        RETURN_IF_FAILED(qcow2_modify_make_region(modify, count, &cluster, error));
        *ret_off = cluster << header->cluster_bits;
        return qcow2_modify_grow_to(modify, (cluster + count) << header->cluster_bits, error);
    }
    for (;;) { /* ends: append_next goes on, and behind all blocks everything is free */
        uint64_t left = block_entries - (modify->append_next & (block_entries - 1));
        if (left < count) {
            modify->append_next += left;
        }
        uint64_t free_count;
        cluster = modify->append_next;
        RETURN_IF_FAILED(qcow2_modify_make_counters(modify, cluster, error));
        if (modify->append_next != cluster) {
            continue; /* new blocks are there */
        }
        RETURN_IF_FAILED(count_free(modify, cluster, count, &free_count, error));
        if (free_count == count) {
            *ret_off = cluster << header->cluster_bits;
            return use(modify, cluster, count, error);
        }
        modify->append_next = cluster + free_count + 1;
    }
}

bool qcow2_modify_release(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own, struct error *error)
{
    RETURN_IF_FAILED(qcow2_overlap_check(&modify->overlap, off, len, own, error));
    uint32_t bits = modify->qcow2->header.cluster_bits;
    uint64_t first = off >> bits;
    uint64_t count = ((off + len - 1) >> bits) - first + 1;
    return qcow2_releases_add(&modify->releases, first, count) ||
           error_set(error, ERROR_GUEST, NULL, "there is no room for another release");
}

bool qcow2_modify_release_list(struct qcow2_modify *modify, struct qcow2_releases *releases, struct error *error)
{
    while (releases->count > 0) {
        struct qcow2_release release = releases->runs[--releases->count]; /* also if that fails: never twice */
        RETURN_IF_FAILED(qcow2_modify_count(modify, release.cluster, release.count, -1, error));
        if (modify->search_left > 0) {
            modify->search_next = min_u64(modify->search_next, release.cluster);
        }
    }
    return true;
}

bool qcow2_modify_release_all(struct qcow2_modify *modify, struct error *error)
{
    qcow2_new_tables_release_old(&modify->new_tables);
    return qcow2_modify_release_list(modify, &modify->tables, error) &&
           qcow2_modify_release_list(modify, &modify->releases, error);
}

bool qcow2_modify_give_back(struct qcow2_modify *modify, struct error *error)
{
    uint64_t first = modify->reserve.next;
    uint64_t count = modify->reserve.end - first;
    if (modify->end_cluster == modify->reserve.end) {
        modify->end_cluster = first;
    }
    modify->reserve.next = modify->reserve.end = 0;
    return count == 0 || qcow2_modify_count(modify, first, count, -1, error);
}

bool qcow2_modify_used_end(struct qcow2_modify *modify, uint64_t *ret_off, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t cluster = (modify->target.file->len + modify->cluster_len - 1) >> header->cluster_bits;
    uint64_t references = 0;
    bool is_known = true;
    while (cluster > 1 && references == 0 && is_known) { /* ends: the file has a length, and the header is used */
        enum qcow2_refcount_block_kind kind;
        uint64_t block = (cluster - 1) >> qcow2_refcount_block_bits(header);
        uint64_t off;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        if (kind == QCOW2_REFCOUNTS_ZERO) {
            cluster = max_u64(block << qcow2_refcount_block_bits(header), 1);
            continue;
        }
        RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster - 1, &references, &is_known, error));
        cluster -= references == 0 && is_known;
    }
    *ret_off = cluster << header->cluster_bits;
    return true;
}

bool qcow2_modify_is_own(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own, bool *ret_is_own,
                         struct error *error)
{
    uint32_t bits = modify->qcow2->header.cluster_bits;
    uint64_t file_end = round_up(modify->target.file->len, modify->cluster_len);
    uint64_t end = (off + len + modify->cluster_len - 1) >> bits;
    uint32_t area;
    RETURN_IF_FAILED(qcow2_overlap_find(&modify->overlap, off, len, own, &area, error));
    bool is_own = range_is_within(off, len, file_end) && area == 0;
    for (uint64_t cluster = off >> bits; cluster < end && is_own; cluster++) { /* ends: within the file */
        uint64_t references;
        bool is_known;
        RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster, &references, &is_known, error));
        is_own = is_known && references == 1;
    }
    *ret_is_own = is_own;
    return true;
}
