/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters that read as zeros by a flag, which version 2 does not have; and what else it does not have. */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/change/qcow2_amend.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"
#include "guest/formats/qcow2/open/qcow2_snapshots.h"

#define BUFFER_ALIGN 4096u
/* References to a new cluster that are given back if it comes to that; what has more keeps the rest. */
#define LOOSE_REFERENCES_MAX 8u

struct expansion {
    const struct qcow2_amend_steps *steps;
    uint64_t table_count;
    uint64_t done_count; /* of tables */
    struct be64 *words;  /* QCOW2_STORE_LEN_MAX bytes */
};

/* A part of an L2 table. */
struct part {
    struct qcow2_modify *modify;
    uint64_t off;  /* bytes in the file */
    uint64_t voff; /* bytes of the disk, before what the part is about */
    struct be64 *words;
    uint64_t count;
    uint64_t references; /* to the table */
    bool is_changed;
};

/* `voff` is where the part of the disk begins that the table is about. */
typedef bool (*table_visit)(struct qcow2_modify *modify, uint64_t l2_off, uint64_t voff, void *context,
                            struct error *error);

static bool for_each_table_of(struct qcow2_modify *modify, struct qcow2_l1 l1, table_visit visit, void *context,
                              struct error *error)
{
    for (uint64_t i = 0; i < l1.entry_count; i++) { /* ends: a table is bounded */
        uint64_t entry;
        RETURN_IF_FAILED(
            cache_read_be64(modify->image->environment->cache, modify->target.file, l1.off + i * 8, &entry, error));
        uint64_t l2_off = entry & QCOW2_L1_OFFSET_MASK;
        RETURN_IF_FAILED(qcow2_modify_check_l2_off(modify, l2_off, i, error));
        RETURN_IF_FAILED(l2_off == 0 || visit(modify, l2_off, i * modify->l2_span_len, context, error));
    }
    return true;
}

/* The disk's L2 tables, and its snapshots'; one that several have comes several times. */
static bool for_each_table(struct qcow2_modify *modify, table_visit visit, void *context, struct error *error)
{
    static struct qcow2_snapshot snapshot; /* large */
    const struct qcow2_header *header = &modify->qcow2->header;
    struct qcow2_snapshot_walk walk = qcow2_snapshot_walk_begin(modify->image);
    RETURN_IF_FAILED(for_each_table_of(modify,
                                       (struct qcow2_l1){.off = header->l1_off, .entry_count = header->l1_entry_count},
                                       visit, context, error));
    while (walk.index < header->snapshot_count) { /* ends: at QCOW2_SNAPSHOT_COUNT_MAX */
        RETURN_IF_FAILED(qcow2_snapshot_next(modify->image, &walk, &snapshot, error));
        RETURN_IF_FAILED(qcow2_snapshot_check_l1(modify->image, &snapshot, error));
        RETURN_IF_FAILED(for_each_table_of(modify, snapshot.l1, visit, context, error));
    }
    return true;
}

static bool find_compressed_in(struct qcow2_modify *modify, uint64_t l2_off, uint64_t voff, void *context,
                               struct error *error)
{
    bool *has = context;
    (void)voff;
    return *has || qcow2_modify_find_entry(modify, l2_off, qcow2_l2_is_compressed, has, error);
}

bool qcow2_find_compressed(struct qcow2_modify *modify, bool *ret_has, struct error *error)
{
    *ret_has = false;
    return for_each_table(modify, find_compressed_in, ret_has, error);
}

static bool part_flush(struct part *part, struct error *error)
{
    struct qcow2_modify *modify = part->modify;
    if (!part->is_changed) {
        return true;
    }
    part->is_changed = false;
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_tie_all(modify);
    return qcow2_modify_write(modify, part->off, part->words, part->count * sizeof(struct be64),
                              QCOW2_AREA_L2 | QCOW2_AREA_SNAPSHOT, error) &&
           qcow2_modify_checkpoint(modify, error);
}

static bool is_zero(const struct part *part, uint64_t index, bool has_storage)
{
    uint64_t entry = be64_get(part->words[index]);
    return !qcow2_l2_is_compressed(entry) && (entry & QCOW2_L2_ZERO) != 0 && (qcow2_l2_off(entry) != 0) == has_storage;
}

static uint64_t voff_of(const struct part *part, uint64_t index)
{
    return part->voff + index * part->modify->cluster_len;
}

static void set(struct part *part, uint64_t index, uint64_t off)
{
    bool is_own = off != 0 && part->references == 1;
    part->words[index] = be64_make(off | (is_own ? QCOW2_COPIED : 0));
    part->is_changed = true;
}

/* Storage for `count` clusters from entry `index` on: up to *ret_count of them. All tables that share this one count.
 */
static bool give_storage(struct part *part, uint64_t index, uint64_t count, uint64_t *ret_count, struct error *error)
{
    struct qcow2_modify *modify = part->modify;
    uint32_t bits = modify->qcow2->header.cluster_bits;
    uint64_t off;
    RETURN_IF_FAILED(qcow2_modify_take(modify, count, &off, ret_count, error));
    qcow2_modify_loosen(modify, off, *ret_count);
    RETURN_IF_FAILED(qcow2_modify_grow_data_to(modify, off + (*ret_count << bits), error));
    RETURN_IF_FAILED(qcow2_modify_store_zeros(modify, off, voff_of(part, index), *ret_count << bits, error));
    if (part->references > 1) {
        RETURN_IF_FAILED(qcow2_modify_count(modify, off >> bits, *ret_count, (int64_t)part->references - 1, error));
        for (uint64_t i = 1; i < part->references && i < LOOSE_REFERENCES_MAX;
             i++) { /* each of them is to be given back */
            qcow2_modify_loosen(modify, off, *ret_count);
        }
    }
    for (uint64_t i = 0; i < *ret_count; i++) {
        set(part, index + i, off + (i << bits));
    }
    return true;
}

/* A cluster with storage, which nobody has read so far; if it is somebody else's data, another one takes its place. */
static bool use_storage(struct part *part, uint64_t index, struct error *error)
{
    struct qcow2_modify *modify = part->modify;
    uint64_t off = qcow2_l2_off(be64_get(part->words[index]));
    uint64_t references;
    uint64_t count;
    bool is_known;
    if (off % modify->cluster_len != 0) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "Cluster allocation offset %#llx unaligned (L2 offset: %#llx)", (unsigned long long)off,
                         (unsigned long long)part->off);
    }
    RETURN_IF_FAILED(
        qcow2_refcount_of(modify->image, off >> modify->qcow2->header.cluster_bits, &references, &is_known, error));
    if (is_known && references == part->references) {
        RETURN_IF_FAILED(qcow2_modify_grow_data_to(modify, off + modify->cluster_len, error));
        RETURN_IF_FAILED(qcow2_modify_store_zeros(modify, off, voff_of(part, index), modify->cluster_len, error));
        set(part, index, off);
        return true;
    }
    RETURN_IF_FAILED(give_storage(part, index, 1, &count, error));
    for (uint64_t i = 0; i < part->references; i++) { /* ends: counts of version 2 have 16 bits */
        if (!qcow2_releases_have_room(&modify->releases, 1)) {
            RETURN_IF_FAILED(part_flush(part, error));
            RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
        }
        RETURN_IF_FAILED(qcow2_modify_release(modify, off, modify->cluster_len, 0, error));
    }
    return true;
}

static bool expand_part(struct part *part, struct error *error)
{
    bool has_backing = part->modify->image->backing_name.is_set;
    uint64_t index = 0;
    while (index < part->count) { /* ends: each round goes on by an entry at least */
        uint64_t count = 1;
        if (is_zero(part, index, true)) {
            RETURN_IF_FAILED(use_storage(part, index, error));
        } else if (is_zero(part, index, false) && !has_backing) {
            set(part, index, 0);
        } else if (is_zero(part, index, false)) {
            while (index + count < part->count && is_zero(part, index + count, false)) {
                count++;
            }
            RETURN_IF_FAILED(give_storage(part, index, count, &count, error));
        }
        index += count;
    }
    return part_flush(part, error);
}

static bool expand_table(struct qcow2_modify *modify, uint64_t l2_off, uint64_t voff, void *context,
                         struct error *error)
{
    uint64_t part_len = min_u64(modify->cluster_len, QCOW2_STORE_LEN_MAX);
    struct expansion *expansion = context;
    struct part part = {.modify = modify, .words = expansion->words, .count = part_len / sizeof(struct be64)};
    bool is_known;
    RETURN_IF_FAILED(qcow2_refcount_of(modify->image, l2_off >> modify->qcow2->header.cluster_bits, &part.references,
                                       &is_known, error));
    if (part.references == 0) {
        return error_set(error, ERROR_MALFORMED, modify->target.file->name,
                         "an L2 table is not counted as used (offset %#llx)", (unsigned long long)l2_off);
    }
    for (uint64_t done = 0; done < modify->cluster_len; done += part_len) {
        part.off = l2_off + done;
        part.voff = voff + done / sizeof(struct be64) * modify->cluster_len;
        RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, part.off, part.words,
                                    (size_t)part_len, error));
        RETURN_IF_FAILED(expand_part(&part, error));
    }
    qcow2_amend_tell(expansion->steps, ++expansion->done_count, expansion->table_count);
    return true;
}

static bool count_table(struct qcow2_modify *modify, uint64_t l2_off, uint64_t voff, void *context, struct error *error)
{
    uint64_t *count = context;
    (void)modify;
    (void)l2_off;
    (void)voff;
    (void)error;
    ++*count;
    return true;
}

bool qcow2_expand_zeros(struct qcow2_modify *modify, const struct qcow2_amend_steps *steps, struct error *error)
{
    struct expansion expansion = {
        .steps = steps,
        .words = arena_allocate(modify->image->environment->arena, QCOW2_STORE_LEN_MAX, BUFFER_ALIGN),
    };
    if (expansion.words == NULL) {
        return error_set(error, ERROR_LIMIT, modify->target.file->name, "no memory is left to write to the image");
    }
    return for_each_table(modify, count_table, &expansion.table_count, error) &&
           for_each_table(modify, expand_table, &expansion, error);
}
