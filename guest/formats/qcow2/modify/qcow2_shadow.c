/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_shadow.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

#define BUFFER_ALIGN 4096u
/* Counters that are looked at for free clusters: a tenth of a second. */
#define SEARCH_MAX (1ull << 20)
/* Clusters of a window: each one more is another way through all tables. */
#define WINDOW_MIN (1ull << 15)
#define WINDOW_MAX (1ull << 22)

bool qcow2_shadow_begin(struct qcow2_modify *modify, struct qcow2_shadow *ret_shadow, struct error *error)
{
    if (modify->has_odd_blocks) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "an entry of the refcount table leads to no refcount block");
    }
    struct arena *arena = modify->image->environment->arena;
    struct qcow2_shadow shadow = {
        .modify = modify,
        .next = 1,
        .left = SEARCH_MAX,
        .append_first = modify->append_next,
        .append_next = modify->append_next,
        .buffer = arena_allocate(arena, QCOW2_SHADOW_BUFFER_LEN, BUFFER_ALIGN),
        .chunks = {arena_allocate(arena, QCOW2_SHADOW_CHUNK_LEN, BUFFER_ALIGN),
                   arena_allocate(arena, QCOW2_SHADOW_CHUNK_LEN, BUFFER_ALIGN)},
    };
    if (shadow.buffer == NULL || shadow.chunks[0] == NULL || shadow.chunks[1] == NULL) {
        return error_set(error, ERROR_LIMIT, modify->target.file->name, "no memory is left to write to the image");
    }
    *ret_shadow = shadow;
    return true;
}

static uint32_t block_bits(const struct qcow2_shadow *shadow)
{
    return qcow2_refcount_block_bits(&shadow->modify->qcow2->header);
}

/* Whether the cluster is nobody's; *ret_next is where to look next. Without a counter, it may be somebody's. */
static bool is_free(struct qcow2_shadow *shadow, uint64_t cluster, bool *ret_is_free, uint64_t *ret_next,
                    struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint64_t block = cluster >> block_bits(shadow);
    enum qcow2_refcount_block_kind kind;
    uint64_t references;
    uint64_t off;
    uint32_t area = 0;
    bool is_known;
    *ret_is_free = false;
    RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
    if (kind != QCOW2_REFCOUNTS_STORED) {
        *ret_next = (block + 1) << block_bits(shadow);
        return true;
    }
    *ret_next = cluster + 1;
    RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster, &references, &is_known, error));
    RETURN_IF_FAILED(references != 0 || qcow2_overlap_find(&modify->overlap, cluster * modify->cluster_len,
                                                           modify->cluster_len, 0, &area, error));
    *ret_is_free = references == 0 && area == 0;
    return true;
}

/* Behind the image, where no reference is counted. */
static bool append(struct qcow2_shadow *shadow, uint64_t count, uint64_t *ret_off, struct error *error)
{
    uint64_t run = 0;
    while (run < count) { /* ends: behind all blocks of counters nothing is counted */
        uint64_t references;
        bool is_known;
        RETURN_IF_FAILED(
            qcow2_refcount_of(shadow->modify->image, shadow->append_next + run, &references, &is_known, error));
        run++;
        if (references != 0 || !is_known) {
            shadow->append_next += run;
            run = 0;
        }
    }
    *ret_off = shadow->append_next << shadow->modify->qcow2->header.cluster_bits;
    shadow->append_next += count;
    return true;
}

bool qcow2_shadow_take(struct qcow2_shadow *shadow, uint64_t count, uint64_t *ret_off, struct error *error)
{
    uint64_t cluster = shadow->next;
    uint64_t run = 0;
    while (run < count && shadow->left > 0 && cluster < shadow->append_first) {
        bool has;
        uint64_t next;
        RETURN_IF_FAILED(is_free(shadow, cluster, &has, &next, error));
        run = has ? run + 1 : 0;
        cluster = next;
        shadow->left--;
    }
    if (run < count) {
        return append(shadow, count, ret_off, error);
    }
    shadow->next = cluster;
    *ret_off = (cluster - count) << shadow->modify->qcow2->header.cluster_bits;
    return true;
}

static void add(struct qcow2_shadow *shadow, struct qcow2_shadow_reference reference)
{
    if (reference.len == 0) {
        return;
    }
    if (shadow->reference_count == QCOW2_SHADOW_REFERENCE_MAX) {
        shadow->has_lost_some = true;
        return;
    }
    shadow->references[shadow->reference_count++] = reference;
}

void qcow2_shadow_add(struct qcow2_shadow *shadow, uint64_t off, uint64_t len, int32_t change)
{
    add(shadow, (struct qcow2_shadow_reference){.off = off, .len = len, .change = change});
}

void qcow2_shadow_add_l1(struct qcow2_shadow *shadow, struct qcow2_l1 l1, bool is_deep, int32_t change)
{
    add(shadow, (struct qcow2_shadow_reference){
                    .off = l1.off, .len = l1.entry_count * 8ull, .is_l1 = true, .is_deep = is_deep, .change = change});
}

/* A place for each block that there is. */
static bool place_old_blocks(struct qcow2_shadow *shadow, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint64_t count = qcow2_refcount_table_len(&modify->qcow2->header) / sizeof(struct be64);
    for (uint64_t block = 0; block < count; block++) { /* ends: a table has 8 MiB at most */
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        if (kind == QCOW2_REFCOUNTS_STORED) {
            RETURN_IF_FAILED(qcow2_shadow_take(shadow, 1, &off, error));
            shadow->table[block] = be64_make(off);
            shadow->total = (block + 1) << block_bits(shadow);
        }
    }
    return true;
}

/* And for those of the clusters that were appended, these blocks included. */
static bool place_new_blocks(struct qcow2_shadow *shadow, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint64_t count = shadow->table_clusters * modify->cluster_len / sizeof(struct be64);
    uint64_t block = shadow->append_first >> block_bits(shadow);
    if (shadow->append_next == shadow->append_first) {
        return true;
    }
    for (; block << block_bits(shadow) < shadow->append_next; block++) { /* ends: few of what is appended are blocks */
        uint64_t off;
        if (block >= count) {
            return error_set(error, ERROR_NO_SPACE, modify->target.file->name,
                             "the image's refcount table cannot become longer");
        }
        if (be64_get(shadow->table[block]) == 0) {
            RETURN_IF_FAILED(qcow2_shadow_take(shadow, 1, &off, error));
            shadow->table[block] = be64_make(off);
        }
        shadow->total = max_u64(shadow->total, (block + 1) << block_bits(shadow));
    }
    return true;
}

/* The new table, long enough for whatever may be appended. */
static bool place_table(struct qcow2_shadow *shadow, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t entry_count = qcow2_refcount_table_len(header) / sizeof(struct be64);
    uint64_t block_count = 0;
    for (uint64_t block = 0; block < entry_count; block++) {
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        block_count += kind != QCOW2_REFCOUNTS_ZERO;
    }
    /* Of n clusters that are appended, n/63 more are blocks at most; half of a table's clusters lead to its own. */
    uint64_t end = shadow->append_next + block_count + 2ull * header->refcount_table_clusters + 16;
    end += (end - shadow->append_first) / 32 + 4;
    uint64_t len = ((end >> block_bits(shadow)) + 2) * sizeof(struct be64);
    len = round_up(max_u64(len, qcow2_refcount_table_len(header)), modify->cluster_len);
    if (len > QCOW2_REFCOUNT_TABLE_LEN_MAX) {
        return error_set(error, ERROR_NO_SPACE, modify->target.file->name,
                         "the image's refcount table cannot become longer");
    }
    shadow->table_clusters = len >> header->cluster_bits;
    shadow->table = arena_allocate(modify->image->environment->arena, (size_t)len, BUFFER_ALIGN);
    if (shadow->table == NULL) {
        return error_set(error, ERROR_LIMIT, modify->target.file->name, "no memory is left to write to the image");
    }
    return qcow2_shadow_take(shadow, shadow->table_clusters, &shadow->table_off, error);
}

/* Adds to what is in the window. */
static bool count_range(struct qcow2_shadow *shadow, uint64_t off, uint64_t len, int32_t change, struct error *error)
{
    uint32_t bits = shadow->modify->qcow2->header.cluster_bits;
    uint64_t cluster = off >> bits;
    uint64_t end = ((off + len - 1) >> bits) + 1;
    if (end > shadow->total) {
        return error_set(error, ERROR_MALFORMED, shadow->modify->target.file->name,
                         "a cluster is used that has no reference count (offset %#llx)", (unsigned long long)off);
    }
    cluster = max_u64(cluster, shadow->first);
    end = min_u64(end, shadow->first + shadow->count);
    for (; cluster < end; cluster++) { /* ends: as the window does */
        int32_t *delta = &shadow->deltas[cluster - shadow->first];
        if (__builtin_add_overflow(*delta, change, delta)) {
            return error_set(error, ERROR_MALFORMED, shadow->modify->target.file->name,
                             "a cluster is used too often (offset %#llx)", (unsigned long long)off);
        }
    }
    return true;
}

static bool count_l2(struct qcow2_shadow *shadow, uint64_t l2_off, int32_t change, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    const struct qcow2_header *header = &modify->qcow2->header;
    uint32_t entry_len = qcow2_l2_entry_len(header);
    for (uint64_t done = 0; done < modify->cluster_len;) { /* ends: views have an entry at least */
        struct span view;
        struct be64 word;
        RETURN_IF_FAILED(cache_view(modify->image->environment->cache, modify->target.file, l2_off + done,
                                    modify->cluster_len - done, &view, error));
        for (size_t at = 0; span_copy(view, at, &word, sizeof(word)); at += entry_len) {
            uint64_t descriptor = be64_get(word);
            uint64_t off;
            uint64_t len;
            qcow2_l2_range(header, descriptor, &off, &len);
            if (len == 0) {
                continue;
            }
            if (!qcow2_l2_is_compressed(descriptor) && off % modify->cluster_len != 0) {
                return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                                 "Cluster allocation offset %#llx unaligned (L2 offset: %#llx)",
                                 (unsigned long long)off, (unsigned long long)l2_off);
            }
            RETURN_IF_FAILED(count_range(shadow, off, len, change, error));
        }
        done += view.len;
    }
    return true;
}

static bool count_l1(struct qcow2_shadow *shadow, const struct qcow2_shadow_reference *l1, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    for (uint64_t done = 0; done < l1->len; done += QCOW2_SHADOW_CHUNK_LEN) {
        uint64_t len = min_u64(l1->len - done, QCOW2_SHADOW_CHUNK_LEN);
        const struct be64 *words = (const struct be64 *)shadow->chunks[0];
        RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, l1->off + done,
                                    shadow->chunks[0], (size_t)len, error));
        for (uint64_t i = 0; i < len / sizeof(*words); i++) {
            uint64_t off = be64_get(words[i]) & QCOW2_L1_OFFSET_MASK;
            if (off == 0) {
                continue;
            }
            RETURN_IF_FAILED(qcow2_modify_check_l2_off(modify, off, done / sizeof(*words) + i, error));
            RETURN_IF_FAILED(count_range(shadow, off, modify->cluster_len, l1->change, error));
            RETURN_IF_FAILED(!l1->is_deep || count_l2(shadow, off, l1->change, error));
        }
    }
    return true;
}

/* What refers to clusters of the window, in the new image and no longer. */
static bool count_all(struct qcow2_shadow *shadow, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    memset(shadow->deltas, 0, shadow->count * sizeof(*shadow->deltas));
    for (uint32_t i = 0; i < shadow->reference_count; i++) {
        const struct qcow2_shadow_reference *reference = &shadow->references[i];
        RETURN_IF_FAILED(count_range(shadow, reference->off, reference->len, reference->change, error));
        RETURN_IF_FAILED(!reference->is_l1 || count_l1(shadow, reference, error));
    }
    for (uint64_t block = 0; block < shadow->total >> block_bits(shadow); block++) {
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        uint64_t new_off = be64_get(shadow->table[block]);
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        RETURN_IF_FAILED(kind != QCOW2_REFCOUNTS_STORED || count_range(shadow, off, modify->cluster_len, -1, error));
        RETURN_IF_FAILED(new_off == 0 || count_range(shadow, new_off, modify->cluster_len, 1, error));
    }
    return true;
}

/* Changes the counts that are in the buffer. */
static bool add_deltas(struct qcow2_shadow *shadow, uint64_t cluster, uint64_t count, struct error *error)
{
    uint32_t order = shadow->modify->qcow2->header.refcount_order;
    for (uint64_t i = 0; i < count; i++) {
        int64_t delta = shadow->deltas[cluster - shadow->first + i];
        if (delta == 0) {
            continue;
        }
        uint64_t value = qcow2_refcount_get(shadow->buffer, order, i);
        if (delta < 0 && value < (uint64_t)-delta) {
            return error_set(error, ERROR_MALFORMED, shadow->modify->target.file->name,
                             "cluster %llu is used more often than its reference count says",
                             (unsigned long long)(cluster + i));
        }
        if (delta > 0 && (uint64_t)delta > qcow2_refcount_max(order) - value) {
            return error_set(error, ERROR_LIMIT, NULL, "Invalid argument");
        }
        qcow2_refcount_set(shadow->buffer, order, i, value + (uint64_t)delta);
    }
    return true;
}

/* The window's part of the new blocks. */
static bool write_window(struct qcow2_shadow *shadow, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint32_t order = modify->qcow2->header.refcount_order;
    uint64_t piece =
        min_u64(min_u64(1ull << block_bits(shadow), shadow->count), ((uint64_t)QCOW2_SHADOW_BUFFER_LEN * 8) >> order);
    uint64_t len = (piece << order) / 8;
    for (uint64_t cluster = shadow->first; cluster < shadow->first + shadow->count; cluster += piece) {
        uint64_t block = cluster >> block_bits(shadow);
        uint64_t pos = ((cluster & ((1ull << block_bits(shadow)) - 1)) << order) / 8;
        uint64_t new_off = block < shadow->total >> block_bits(shadow) ? be64_get(shadow->table[block]) : 0;
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        memset(shadow->buffer, 0, (size_t)len);
        if (kind == QCOW2_REFCOUNTS_STORED) {
            RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, off + pos,
                                        shadow->buffer, (size_t)len, error));
        }
        for (uint64_t i = 0; i < piece && new_off == 0; i++) {
            if (shadow->deltas[cluster - shadow->first + i] != 0) {
                return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                                 "a cluster is used that has no reference count (number %llu)",
                                 (unsigned long long)(cluster + i));
            }
        }
        if (new_off != 0) {
            RETURN_IF_FAILED(add_deltas(shadow, cluster, piece, error));
            RETURN_IF_FAILED(qcow2_modify_write(modify, new_off + pos, shadow->buffer, len, 0, error));
        }
    }
    return true;
}

static bool window_has_blocks(const struct qcow2_shadow *shadow)
{
    uint64_t end = (shadow->first + shadow->count - 1) >> block_bits(shadow);
    bool has_any = false;
    for (uint64_t block = shadow->first >> block_bits(shadow);
         block <= end && block < shadow->total >> block_bits(shadow); block++) {
        has_any = has_any || be64_get(shadow->table[block]) != 0;
    }
    return has_any;
}

static bool take_window(struct qcow2_shadow *shadow, struct error *error)
{
    shadow->count = WINDOW_MIN;
    while (shadow->count < shadow->total && shadow->count < WINDOW_MAX) {
        shadow->count *= 2;
    }
    for (; shadow->deltas == NULL && shadow->count >= WINDOW_MIN; shadow->count /= 2) {
        shadow->deltas = arena_allocate(shadow->modify->image->environment->arena,
                                        (size_t)(shadow->count * sizeof(*shadow->deltas)), sizeof(*shadow->deltas));
        if (shadow->deltas != NULL) {
            return true;
        }
    }
    return error_set(error, ERROR_LIMIT, shadow->modify->target.file->name, "no memory is left to write to the image");
}

bool qcow2_shadow_write_refcounts(struct qcow2_shadow *shadow, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    struct qcow2_header *header = &modify->qcow2->header;
    RETURN_IF_FAILED(place_table(shadow, error));
    RETURN_IF_FAILED(place_old_blocks(shadow, error));
    RETURN_IF_FAILED(place_new_blocks(shadow, error));
    RETURN_IF_FAILED(take_window(shadow, error));
    uint64_t table_len = shadow->table_clusters * modify->cluster_len;
    qcow2_shadow_add(shadow, header->refcount_table_off, qcow2_refcount_table_len(header), -1);
    qcow2_shadow_add(shadow, shadow->table_off, table_len, 1);
    if (shadow->has_lost_some) {
        return error_set(error, ERROR_GUEST, NULL, "more references change than there is room for");
    }
    for (shadow->first = 0; shadow->first < shadow->total; shadow->first += shadow->count) {
        if (window_has_blocks(shadow)) {
            RETURN_IF_FAILED(count_all(shadow, error));
            RETURN_IF_FAILED(write_window(shadow, error));
        }
    }
    RETURN_IF_FAILED(qcow2_modify_write(modify, shadow->table_off, shadow->table, table_len, 0, error));
    shadow->old_table_off = header->refcount_table_off;
    shadow->old_table_clusters = header->refcount_table_clusters;
    shadow->has_counted = true;
    header->refcount_table_off = shadow->table_off;
    header->refcount_table_clusters = (uint32_t)shadow->table_clusters;
    return true;
}

bool qcow2_shadow_switch(struct qcow2_shadow *shadow, const struct qcow2_header *header, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    struct {
        struct be64 size;
        struct be32 crypt_method;
        struct be32 l1_size;
        struct be64 l1_off;
        struct be64 refcount_table_off;
        struct be32 refcount_table_clusters;
        struct be32 snapshot_count;
        struct be64 snapshots_off;
    } words = {
        be64_make(header->size),           be32_make(header->crypt_method),
        be32_make(header->l1_entry_count), be64_make(header->l1_off),
        be64_make(shadow->table_off),      be32_make((uint32_t)shadow->table_clusters),
        be32_make(header->snapshot_count), be64_make(header->snapshots_off),
    };
    _Static_assert(sizeof(words) == 48, "as in the header");
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_keep_len(modify);
    shadow->is_switching = true;
    RETURN_IF_FAILED(
        qcow2_modify_store(modify, QCOW2_HEADER_OFF(size), &words, sizeof(words), QCOW2_AREA_HEADER, error));
    uint64_t end = max_u64(shadow->append_next, modify->end_cluster);
    modify->end_cluster = shadow->append_next > shadow->append_first ? end : modify->end_cluster;
    modify->append_next = shadow->append_next;
    modify->qcow2->header = *header;
    modify->qcow2->header.refcount_table_off = shadow->table_off;
    modify->qcow2->header.refcount_table_clusters = (uint32_t)shadow->table_clusters;
    modify->qcow2->l1 = (struct qcow2_l1){.off = header->l1_off, .entry_count = header->l1_entry_count};
    return qcow2_modify_flush(modify, error);
}

void qcow2_shadow_abandon(struct qcow2_shadow *shadow)
{
    struct qcow2_header *header = &shadow->modify->qcow2->header;
    if (shadow->has_counted && !shadow->is_switching) {
        header->refcount_table_off = shadow->old_table_off;
        header->refcount_table_clusters = shadow->old_table_clusters;
    }
    qcow2_modify_abandon(&shadow->modify->target);
}
