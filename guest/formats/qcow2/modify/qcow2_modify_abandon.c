/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change that has failed, on a full disk for one. Entries of L2 tables that are in memory only lead to clusters that
 * nobody else knows of; those in the file stay, with all that they lead to, and so do references that were to be taken
 * back. Of a slice that was being written, parts may be in the file: what it leads to stays, too.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"

/* Where the cluster's content is by this entry, bytes; 0: nowhere, or in streams, which may share a cluster. */
static uint64_t storage_off(const uint8_t *entry)
{
    struct be64 word;
    memcpy(&word, entry, sizeof(word));
    uint64_t descriptor = be64_get(word);
    return (descriptor & QCOW2_COMPRESSED) == 0 ? descriptor & QCOW2_L2_OFFSET_MASK : 0;
}

/* What the slice's entries have got since they were in the file. */
static bool slice_take_back(struct qcow2_modify *modify, struct qcow2_slice *slice, struct error *error)
{
    uint32_t entry_len = qcow2_l2_entry_len(&modify->qcow2->header);
    uint32_t bits = modify->qcow2->header.cluster_bits;
    uint64_t first = 0;
    uint64_t count = 0;
    slice->is_dirty = false;
    RETURN_IF_FAILED(cache_read(modify->image->environment->cache, modify->target.file, slice->off, modify->bounce,
                                modify->slices.len, error));
    for (uint32_t at = 0; at < modify->slices.len; at += entry_len) {
        uint64_t off = storage_off(slice->bytes + at);
        if (off == 0 || off == storage_off(modify->bounce + at)) {
            continue;
        }
        uint64_t cluster = off >> bits;
        if (count > 0 && cluster == first + count) {
            count++;
            continue;
        }
        RETURN_IF_FAILED(count == 0 || qcow2_modify_count(modify, first, count, -1, error));
        first = cluster;
        count = 1;
    }
    slice->off = 0;
    return count == 0 || qcow2_modify_count(modify, first, count, -1, error);
}

/* Tables that were complete or not, and that the header does not lead to. */
static bool loose_take_back(struct qcow2_modify *modify, struct error *error)
{
    const struct qcow2_releases *loose = &modify->loose;
    for (uint32_t i = 0; i < loose->count; i++) {
        RETURN_IF_FAILED(qcow2_modify_count(modify, loose->runs[i].cluster, loose->runs[i].count, -1, error));
    }
    qcow2_modify_tie(modify);
    return true;
}

static bool take_back(struct qcow2_modify *modify, struct error *error)
{
    struct file *file = modify->target.file;
    uint64_t used_end;
    RETURN_IF_FAILED(target_revive(&modify->target, error));
    modify->bounce_write = NULL;
    modify->releases.count = 0;
    for (uint32_t i = 0; i < QCOW2_SLICE_COUNT && !modify->is_data_external; i++) {
        struct qcow2_slice *slice = &modify->slices.list[i];
        RETURN_IF_FAILED(!slice->is_dirty || slice_take_back(modify, slice, error));
    }
    RETURN_IF_FAILED(loose_take_back(modify, error));
    RETURN_IF_FAILED(qcow2_modify_give_back(modify, error));
    RETURN_IF_FAILED(qcow2_modify_used_end(modify, &used_end, error));
    uint64_t len = max_u64(modify->opened_len, used_end);
    return !file->is_resizable || file->len <= len || target_set_len(&modify->target, file, len, error);
}

void qcow2_modify_abandon(struct target *target)
{
    struct error ignored = {0}; /* the one that there was is the one to tell; what is not given back is a leak */
    bool is_done = take_back(qcow2_modify_of(target), &ignored);
    (void)is_done;
}
