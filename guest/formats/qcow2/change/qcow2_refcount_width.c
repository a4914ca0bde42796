/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts that get another width (qcow2.txt, "Host cluster management"). */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_amend.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

#define BUFFER_ALIGN 4096u
/* In the header: where the refcount table is, and its clusters; the width of a count. They lie in one sector. */
#define HEADER_PART_LEN (QCOW2_HEADER_OFF(header_length) - QCOW2_HEADER_OFF(refcount_table_offset))

/* The new structures: table and blocks, neighbours from cluster `first` on, all of which have one reference. */
struct width_change {
    struct qcow2_modify *modify;
    uint32_t order;
    uint32_t block_bits;  /* of a new block */
    uint64_t first;       /* behind all clusters with a count */
    uint64_t end;         /* behind the new structures */
    uint64_t table_count; /* clusters of the table */
    struct be64 *table;   /* until blocks are placed, not 0 where there is to be one */
    uint8_t *buffer;      /* QCOW2_STORE_LEN_MAX bytes, or a cluster if that is less */
    uint64_t buffer_len;
};

static bool refuse_count(const struct qcow2_modify *modify, uint32_t order, uint64_t cluster, uint64_t count,
                         struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, NULL,
                     "Cannot decrease refcount entry width to %u bits: Cluster at offset %#llx has a refcount of %llu",
                     1u << order, (unsigned long long)(cluster << modify->qcow2->header.cluster_bits),
                     (unsigned long long)count);
}

/*
 * Calls `visit` for each cluster with a count that is not 0, in their order.
 */
static bool for_each_count(struct qcow2_modify *modify,
                           bool (*visit)(void *context, uint64_t cluster, uint64_t count, struct error *error),
                           void *context, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    uint32_t block_bits = qcow2_refcount_block_bits(header);
    uint64_t block_count = qcow2_refcount_table_len(header) / sizeof(struct be64);
    for (uint64_t block = 0; block < block_count; block++) { /* ends: a table has 8 MiB at most */
        enum qcow2_refcount_block_kind kind;
        uint64_t off;
        RETURN_IF_FAILED(qcow2_refcount_block(modify->image, block, &kind, &off, error));
        for (uint64_t i = 0; kind == QCOW2_REFCOUNTS_STORED && i < 1ull << block_bits; i++) {
            uint64_t cluster = (block << block_bits) + i;
            uint64_t count;
            bool is_known;
            RETURN_IF_FAILED(qcow2_refcount_of(modify->image, cluster, &count, &is_known, error));
            RETURN_IF_FAILED(count == 0 || visit(context, cluster, count, error));
        }
    }
    return true;
}

struct width_check {
    const struct qcow2_modify *modify;
    uint32_t order;
};

static bool check_count(void *context, uint64_t cluster, uint64_t count, struct error *error)
{
    const struct width_check *check = context;
    return count <= qcow2_refcount_max(check->order) ||
           refuse_count(check->modify, check->order, cluster, count, error);
}

bool qcow2_check_refcount_width(struct qcow2_modify *modify, uint32_t order, struct error *error)
{
    struct width_check check = {.modify = modify, .order = order};
    enum qcow2_refcount_block_kind kind;
    uint64_t off;
    RETURN_IF_FAILED(qcow2_refcount_block(modify->image, 0, &kind, &off, error));
    if (modify->has_odd_blocks || kind != QCOW2_REFCOUNTS_STORED) { /* the first one has the header's counter */
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "an entry of the refcount table leads to no refcount block");
    }
    return order >= modify->qcow2->header.refcount_order || for_each_count(modify, check_count, &check, error);
}

static bool mark(void *context, uint64_t cluster, uint64_t count, struct error *error)
{
    struct width_change *change = context;
    (void)count;
    uint64_t block = cluster >> change->block_bits;
    if (block >= QCOW2_REFCOUNT_TABLE_LEN_MAX / sizeof(struct be64)) {
        return error_set(error, ERROR_NO_SPACE, change->modify->target.file->name,
                         "the image's refcount table cannot become longer");
    }
    change->table[block] = be64_make(1);
    change->first = max_u64(change->first, cluster + 1);
    return true;
}

/* How many new blocks there are, and how many clusters in all, if the structures end at `end`. */
static uint64_t cluster_count(const struct width_change *change, uint64_t end, uint64_t *ret_table_count)
{
    uint64_t last = (end - 1) >> change->block_bits;
    uint64_t count = 0;
    for (uint64_t block = 0; block <= last; block++) { /* ends: a table has 8 MiB at most */
        bool is_own = block >= change->first >> change->block_bits;
        count += is_own || be64_get(change->table[block]) != 0;
    }
    uint64_t table_len = (last + 1) * sizeof(struct be64);
    *ret_table_count = round_up(table_len, change->modify->cluster_len) >> change->modify->qcow2->header.cluster_bits;
    return count + *ret_table_count;
}

/* A place for each of them. */
static bool place(struct width_change *change, struct error *error)
{
    uint64_t entry_max = QCOW2_REFCOUNT_TABLE_LEN_MAX / sizeof(struct be64);
    uint64_t end = change->first + 1;
    for (;;) { /* ends: the end only goes on, and has a bound */
        if ((end - 1) >> change->block_bits >= entry_max) {
            return error_set(error, ERROR_NO_SPACE, change->modify->target.file->name,
                             "the image's refcount table cannot become longer");
        }
        uint64_t needed = change->first + cluster_count(change, end, &change->table_count);
        if (needed <= end) {
            break;
        }
        end = needed;
    }
    change->end = end;
    uint64_t next = change->first + change->table_count;
    for (uint64_t block = 0; block <= (end - 1) >> change->block_bits; block++) {
        if (be64_get(change->table[block]) != 0 || block >= change->first >> change->block_bits) {
            change->table[block] = be64_make(next << change->modify->qcow2->header.cluster_bits);
            next++;
        }
    }
    return true;
}

/* The part of a new block that counts clusters from `cluster` on: a buffer of it. */
static bool write_part(struct width_change *change, uint64_t off, uint64_t cluster, struct error *error)
{
    struct qcow2_modify *modify = change->modify;
    uint64_t entry_count = (change->buffer_len * 8) >> change->order;
    memset(change->buffer, 0, change->buffer_len);
    for (uint64_t i = 0; i < entry_count && cluster + i < change->end; i++) {
        uint64_t count = cluster + i >= change->first;
        bool is_known;
        RETURN_IF_FAILED(count > 0 || qcow2_refcount_of(modify->image, cluster + i, &count, &is_known, error));
        if (count > qcow2_refcount_max(change->order)) {
            return refuse_count(modify, change->order, cluster + i, count, error);
        }
        qcow2_refcount_set(change->buffer, change->order, i, count);
    }
    return qcow2_modify_write(modify, off, change->buffer, change->buffer_len, 0, error);
}

static bool write_all(struct width_change *change, const struct qcow2_amend_steps *steps, struct error *error)
{
    struct qcow2_modify *modify = change->modify;
    uint32_t cluster_bits = modify->qcow2->header.cluster_bits;
    uint64_t block_count = ((change->end - 1) >> change->block_bits) + 1;
    for (uint64_t block = 0; block < block_count; block++) {
        uint64_t off = be64_get(change->table[block]);
        uint64_t cluster = block << change->block_bits;
        for (uint64_t done = 0; off != 0 && done < modify->cluster_len; done += change->buffer_len) {
            RETURN_IF_FAILED(write_part(change, off + done, cluster + ((done * 8) >> change->order), error));
        }
        qcow2_amend_tell(steps, block + 1, block_count);
    }
    return qcow2_modify_write(modify, change->first << cluster_bits, change->table, change->table_count << cluster_bits,
                              0, error);
}

static bool switch_header(struct width_change *change, struct error *error)
{
    struct qcow2_modify *modify = change->modify;
    struct qcow2_header *header = &modify->qcow2->header;
    uint8_t part[HEADER_PART_LEN];
    uint64_t table_off = change->first << header->cluster_bits;
    struct {
        struct be64 off;
        struct be32 clusters;
    } words = {be64_make(table_off), be32_make((uint32_t)change->table_count)};
    _Static_assert(sizeof(words) == 12, "as in the header");
    struct be32 order = be32_make(change->order);
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file,
                                QCOW2_HEADER_OFF(refcount_table_offset), part, sizeof(part), error));
    memcpy(part, &words, sizeof(words));
    memcpy(part + (QCOW2_HEADER_OFF(refcount_order) - QCOW2_HEADER_OFF(refcount_table_offset)), &order, sizeof(order));
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_keep_len(modify);
    RETURN_IF_FAILED(qcow2_modify_store(modify, QCOW2_HEADER_OFF(refcount_table_offset), part, sizeof(part),
                                        QCOW2_AREA_HEADER, error));
    header->refcount_table_off = table_off;
    header->refcount_table_clusters = (uint32_t)change->table_count;
    header->refcount_order = change->order;
    modify->append_next = max_u64(modify->append_next, change->end);
    modify->end_cluster = max_u64(modify->end_cluster, change->end);
    for (uint64_t block = 0; block <= (change->end - 1) >> change->block_bits; block++) {
        uint64_t off = be64_get(change->table[block]);
        if (off != 0) {
            qcow2_overlap_add(&modify->overlap, QCOW2_AREA_REFCOUNT_BLOCK, off, modify->cluster_len);
        }
    }
    return qcow2_modify_flush(modify, error);
}

/* Clusters of the old structures, if they are nobody else's: in a damaged image, who knows. */
static bool release(struct qcow2_modify *modify, uint64_t off, uint64_t len, struct error *error)
{
    bool is_own;
    RETURN_IF_FAILED(qcow2_modify_is_own(modify, off, len, 0, &is_own, error));
    RETURN_IF_FAILED(!is_own || qcow2_modify_release(modify, off, len, 0, error));
    return qcow2_releases_have_room(&modify->releases, 1) || qcow2_modify_checkpoint(modify, error);
}

static bool release_old(struct qcow2_modify *modify, const struct qcow2_header *old, struct error *error)
{
    uint64_t block_count = qcow2_refcount_table_len(old) / sizeof(struct be64);
    for (uint64_t block = 0; block < block_count; block++) { /* ends: a table has 8 MiB at most */
        uint64_t entry;
        RETURN_IF_FAILED(cache_read_be64(modify->image->environment->cache, modify->target.file,
                                         old->refcount_table_off + block * sizeof(struct be64), &entry, error));
        uint64_t off = entry & QCOW2_REFCOUNT_OFFSET_MASK;
        RETURN_IF_FAILED(off == 0 || release(modify, off, modify->cluster_len, error));
    }
    return release(modify, old->refcount_table_off, qcow2_refcount_table_len(old), error) &&
           qcow2_modify_checkpoint(modify, error);
}

bool qcow2_change_refcount_width(struct qcow2_modify *modify, uint32_t order, const struct qcow2_amend_steps *steps,
                                 struct error *error)
{
    struct arena *arena = modify->image->environment->arena;
    const struct qcow2_header old = modify->qcow2->header;
    struct width_change change = {
        .modify = modify,
        .order = order,
        .block_bits = old.cluster_bits + 3 - order,
        .first = modify->append_next,
        .buffer_len = min_u64(modify->cluster_len, QCOW2_STORE_LEN_MAX),
        .table = arena_allocate(arena, QCOW2_REFCOUNT_TABLE_LEN_MAX, BUFFER_ALIGN),
        .buffer = arena_allocate(arena, QCOW2_STORE_LEN_MAX, BUFFER_ALIGN),
    };
    if (change.table == NULL || change.buffer == NULL) {
        return error_set(error, ERROR_LIMIT, modify->target.file->name, "no memory is left to write to the image");
    }
    /* If tables lie in the header, in a damaged image, it cannot be switched: known before anything is written. */
    RETURN_IF_FAILED(qcow2_overlap_check(&modify->overlap, QCOW2_HEADER_OFF(refcount_table_offset), HEADER_PART_LEN,
                                         QCOW2_AREA_HEADER, error));
    return for_each_count(modify, mark, &change, error) && place(&change, error) && write_all(&change, steps, error) &&
           switch_header(&change, error) && release_old(modify, &old, error);
}
