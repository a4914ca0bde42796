/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/change/qcow2_snapshot_tables.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/open/qcow2_refcounts.h"

static bool read(struct qcow2_shadow *shadow, uint64_t off, void *bytes, uint64_t len, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    return cache_read(modify->image->environment->cache, modify->target.file, off, bytes, (size_t)len, error);
}

/* Entries [first, first + QCOW2_SHADOW_CHUNK_LEN / 8) of a table; 0 behind its end. */
static bool read_chunk(struct qcow2_shadow *shadow, struct qcow2_l1 l1, uint64_t first, uint8_t *chunk,
                       struct error *error)
{
    uint64_t len = first < l1.entry_count ? (l1.entry_count - first) * 8 : 0;
    memset(chunk, 0, QCOW2_SHADOW_CHUNK_LEN);
    return read(shadow, l1.off + first * 8, chunk, min_u64(len, QCOW2_SHADOW_CHUNK_LEN), error);
}

static bool is_plain(uint64_t descriptor)
{
    return !qcow2_l2_is_compressed(descriptor) && qcow2_l2_off(descriptor) != 0;
}

static bool has_copied_flag(uint64_t descriptor)
{
    return (descriptor & QCOW2_COPIED) != 0;
}

static bool lacks_copied_flag(uint64_t descriptor)
{
    return !has_copied_flag(descriptor) && is_plain(descriptor);
}

/* Whether the L2 table is to be copied. */
static bool needs_copy(struct qcow2_shadow *shadow, uint64_t off, enum qcow2_sharing sharing, uint64_t other_off,
                       bool *ret_needs, struct error *error)
{
    uint64_t references;
    bool is_known;
    *ret_needs = false;
    if (off == 0) {
        return true;
    }
    if (sharing == QCOW2_SHARES_MORE) {
        return qcow2_modify_find_entry(shadow->modify, off, has_copied_flag, ret_needs, error);
    }
    RETURN_IF_FAILED(qcow2_refcount_of(shadow->modify->image, off >> shadow->modify->qcow2->header.cluster_bits,
                                       &references, &is_known, error));
    /* What others have, too, leads to nothing that is its own. */
    return references - (off == other_off) != 1 ||
           qcow2_modify_find_entry(shadow->modify, off, lacks_copied_flag, ret_needs, error);
}

bool qcow2_snapshot_tables_begin(struct qcow2_shadow *shadow, struct qcow2_l1 source, uint32_t count,
                                 enum qcow2_sharing sharing, struct qcow2_l1 other, struct qcow2_l1 *ret_l1,
                                 struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint64_t len = max_u64(round_up(count * 8ull, modify->cluster_len), modify->cluster_len);
    struct be64 *words = (struct be64 *)shadow->chunks[0];
    const struct be64 *others = (const struct be64 *)shadow->chunks[1];
    struct qcow2_l1 l1 = {.entry_count = count};
    RETURN_IF_FAILED(qcow2_shadow_take(shadow, len >> modify->qcow2->header.cluster_bits, &l1.off, error));
    for (uint64_t done = 0; done < len; done += QCOW2_SHADOW_CHUNK_LEN) { /* ends: a table is bounded */
        RETURN_IF_FAILED(read_chunk(shadow, source, done / 8, shadow->chunks[0], error));
        RETURN_IF_FAILED(read_chunk(shadow, other, done / 8, shadow->chunks[1], error));
        for (uint64_t i = 0; i < QCOW2_SHADOW_CHUNK_LEN / 8; i++) {
            uint64_t off = be64_get(words[i]) & QCOW2_L1_OFFSET_MASK;
            bool needs;
            RETURN_IF_FAILED(qcow2_modify_check_l2_off(shadow->modify, off, done / 8 + i, error));
            RETURN_IF_FAILED(
                needs_copy(shadow, off, sharing, be64_get(others[i]) & QCOW2_L1_OFFSET_MASK, &needs, error));
            RETURN_IF_FAILED(!needs || qcow2_shadow_take(shadow, 1, &off, error));
            words[i] = be64_make(off);
        }
        RETURN_IF_FAILED(qcow2_modify_write(modify, l1.off + done, shadow->chunks[0],
                                            min_u64(len - done, QCOW2_SHADOW_CHUNK_LEN), 0, error));
    }
    *ret_l1 = l1;
    return true;
}

/* Whether the cluster at `off` has one reference, in the new image. */
static bool is_single(struct qcow2_shadow *shadow, uint64_t off, bool *ret_is_single, struct error *error)
{
    uint64_t references;
    bool is_known;
    RETURN_IF_FAILED(qcow2_refcount_of(shadow->modify->image, off >> shadow->modify->qcow2->header.cluster_bits,
                                       &references, &is_known, error));
    *ret_is_single = is_known && references == 1;
    return true;
}

static bool copy_l2(struct qcow2_shadow *shadow, uint64_t old_off, uint64_t new_off, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint64_t part_len = min_u64(modify->cluster_len, QCOW2_SHADOW_BUFFER_LEN);
    uint32_t entry_len = qcow2_l2_entry_len(&modify->qcow2->header);
    for (uint64_t done = 0; done < modify->cluster_len; done += part_len) {
        RETURN_IF_FAILED(read(shadow, old_off + done, shadow->buffer, part_len, error));
        for (uint64_t at = 0; at < part_len; at += entry_len) {
            struct be64 word;
            memcpy(&word, shadow->buffer + at, sizeof(word));
            uint64_t descriptor = be64_get(word) & ~QCOW2_COPIED;
            bool single = false;
            if (is_plain(descriptor)) {
                RETURN_IF_FAILED(is_single(shadow, qcow2_l2_off(descriptor), &single, error));
            }
            word = be64_make(descriptor | (single ? QCOW2_COPIED : 0));
            memcpy(shadow->buffer + at, &word, sizeof(word));
        }
        RETURN_IF_FAILED(qcow2_modify_write(modify, new_off + done, shadow->buffer, part_len, 0, error));
    }
    return true;
}

bool qcow2_snapshot_tables_end(struct qcow2_shadow *shadow, struct qcow2_l1 source, struct qcow2_l1 l1,
                               struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    struct be64 *words = (struct be64 *)shadow->chunks[0];
    const struct be64 *sources = (const struct be64 *)shadow->chunks[1];
    uint64_t len = round_up(l1.entry_count * 8ull, modify->cluster_len);
    for (uint64_t done = 0; done < len; done += QCOW2_SHADOW_CHUNK_LEN) { /* ends: a table is bounded */
        bool is_changed = false;
        RETURN_IF_FAILED(read_chunk(shadow, l1, done / 8, shadow->chunks[0], error));
        RETURN_IF_FAILED(read_chunk(shadow, source, done / 8, shadow->chunks[1], error));
        for (uint64_t i = 0; i < QCOW2_SHADOW_CHUNK_LEN / 8; i++) {
            uint64_t off = be64_get(words[i]);
            uint64_t source_off = be64_get(sources[i]) & QCOW2_L1_OFFSET_MASK;
            bool single = false;
            if (off == 0) {
                continue;
            }
            RETURN_IF_FAILED(off == source_off || copy_l2(shadow, source_off, off, error));
            RETURN_IF_FAILED(is_single(shadow, off, &single, error));
            words[i] = be64_make(off | (single ? QCOW2_COPIED : 0));
            is_changed = is_changed || single;
        }
        RETURN_IF_FAILED(!is_changed || qcow2_modify_write(modify, l1.off + done, shadow->chunks[0],
                                                           min_u64(len - done, QCOW2_SHADOW_CHUNK_LEN), 0, error));
    }
    return true;
}

static bool clear_l2(struct qcow2_shadow *shadow, uint64_t l2_off, struct error *error)
{
    struct qcow2_modify *modify = shadow->modify;
    uint64_t part_len = min_u64(modify->cluster_len, QCOW2_SHADOW_BUFFER_LEN);
    uint32_t entry_len = qcow2_l2_entry_len(&modify->qcow2->header);
    for (uint64_t done = 0; done < modify->cluster_len; done += part_len) {
        RETURN_IF_FAILED(read(shadow, l2_off + done, shadow->buffer, part_len, error));
        for (uint64_t at = 0; at < part_len; at += entry_len) {
            shadow->buffer[at] &= 0x7f; /* QCOW2_COPIED is the first bit of the first byte */
        }
        RETURN_IF_FAILED(
            qcow2_modify_write(modify, l2_off + done, shadow->buffer, part_len, QCOW2_AREA_SNAPSHOT, error));
    }
    return true;
}

bool qcow2_snapshot_tables_clear(struct qcow2_shadow *shadow, struct qcow2_l1 l1, struct error *error)
{
    const struct be64 *words = (const struct be64 *)shadow->chunks[0];
    for (uint64_t first = 0; first < l1.entry_count; first += QCOW2_SHADOW_CHUNK_LEN / 8) {
        RETURN_IF_FAILED(read_chunk(shadow, l1, first, shadow->chunks[0], error));
        for (uint64_t i = 0; i < QCOW2_SHADOW_CHUNK_LEN / 8; i++) {
            uint64_t off = be64_get(words[i]) & QCOW2_L1_OFFSET_MASK;
            bool has = false;
            RETURN_IF_FAILED(qcow2_modify_check_l2_off(shadow->modify, off, first + i, error));
            RETURN_IF_FAILED(off == 0 || qcow2_modify_find_entry(shadow->modify, off, has_copied_flag, &has, error));
            RETURN_IF_FAILED(!has || clear_l2(shadow, off, error));
        }
    }
    return true;
}
