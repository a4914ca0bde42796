/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/reader_slot_work.h"

#include <string.h>

#include "base/checked.h"
#include "guest/runtime/platform.h"

uint64_t slot_stream_len(const struct slot_piece *piece)
{
    if (piece->extent.kind == EXTENT_ENCRYPTED) {
        return piece->image->cipher->unit_len;
    }
    return piece->extent.kind == EXTENT_COMPRESSED ? piece->extent.compressed_len : piece->extent.len;
}

uint8_t *slot_stream(const struct reader_slot *slot, const struct slot_piece *piece)
{
    const struct slot_read *read = &slot->reads[piece->read];
    return read->data + (piece->extent.file_off - read->off);
}

/* Whether the cluster can be decompressed where it belongs: nothing else lies where it has more than the extent. */
static bool is_in_place(const struct reader_slot *slot, const struct slot_piece *piece, uint64_t disk_end)
{
    const struct extent *extent = &piece->extent;
    uint64_t cluster_len = image_unit_len(piece->image, extent);
    uint64_t slot_len = slot->environment->slot_len;
    return extent->voff == extent->cluster_voff && extent->voff % slot_len + cluster_len <= slot_len &&
           (extent->len == cluster_len || extent->voff + extent->len == disk_end);
}

static bool decompress(const struct reader_slot *slot, struct slot_piece *piece, uint8_t *target, void *scratch,
                       struct error *error)
{
    const struct format *format = piece->image->format;
    struct span stream = {slot_stream(slot, piece), (size_t)piece->extent.compressed_len};
    struct extent own = image_own_extent(&piece->extent);
    size_t len = 0;
    if (format->decompress_counted == NULL) {
        return format->decompress(piece->image, &own, stream, target, scratch, error);
    }
    RETURN_IF_FAILED(format->decompress_counted(piece->image, &own, stream, target, scratch, &len, error));
    piece->counted_len = (uint32_t)min_u64(len, stream.len);
    return true;
}

bool slot_find_stream(const struct reader_slot *slot, uint64_t voff, uint32_t unit_len, enum stream_kind kind,
                      struct span *ret_stream)
{
    uint32_t first = 0;
    uint32_t end = slot->piece_count;
    while (first < end) { /* pieces are in the order of the disk */
        uint32_t middle = first + (end - first) / 2;
        if (slot->pieces[middle].extent.voff < voff) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    if (first == slot->piece_count) {
        return false;
    }
    const struct slot_piece *piece = &slot->pieces[first];
    const struct extent *extent = &piece->extent;
    bool is_whole = extent->voff == voff && extent->cluster_voff == voff && extent->len == unit_len;
    if (!is_whole || extent->kind != EXTENT_COMPRESSED || piece->is_long || piece->is_unreadable ||
        piece->leader != first || piece->counted_len == 0 || kind == STREAM_KIND_OTHER ||
        piece->image->stream_kind != kind || image_unit_len(piece->image, extent) != unit_len) {
        return false;
    }
    *ret_stream = (struct span){slot_stream(slot, piece), piece->counted_len};
    return true;
}

/* The vCPU's own scratch memory, or any that is free: to be given back. */
static uint32_t scratch_take(struct slot_environment *environment, uint32_t vcpu)
{
    uint32_t index = vcpu % environment->scratch_count;
    if (environment->scratch_count < environment->vcpu_count) {
        while (__atomic_exchange_n(&environment->scratch_is_taken[index], 1, __ATOMIC_ACQUIRE) != 0) {
            index = (index + 1) % environment->scratch_count; /* ends: whoever has it expands a cluster, and no more */
            platform_relax();
        }
    }
    return index;
}

static void scratch_give(struct slot_environment *environment, uint32_t index)
{
    __atomic_store_n(&environment->scratch_is_taken[index], 0, __ATOMIC_RELEASE);
}

/* A cluster, and all pieces of the slot that are parts of it. */
static void make_cluster(struct reader_slot *slot, uint32_t index, uint32_t vcpu)
{
    struct slot_piece *leader = &slot->pieces[index];
    struct error error = {0};
    bool is_direct = leader->last == index && is_in_place(slot, leader, slot->environment->disk_end);
    struct slot_environment *environment = slot->environment;
    uint32_t index_of_scratch = scratch_take(environment, vcpu);
    uint8_t *scratch = environment->scratch[index_of_scratch];
    uint8_t *cluster = scratch + environment->scratch_len;
    uint8_t *target = is_direct ? slot_at(slot, leader->extent.voff) : cluster;
    bool is_readable = !leader->is_unreadable && decompress(slot, leader, target, scratch, &error);
    for (uint32_t i = index; i <= leader->last; i++) {
        struct slot_piece *piece = &slot->pieces[i];
        if (piece->leader != index) {
            continue;
        }
        piece->is_unreadable = !is_readable;
        if (is_readable && !is_direct) {
            const struct extent *extent = &piece->extent;
            memcpy(slot_at(slot, extent->voff), cluster + (extent->voff - extent->cluster_voff), (size_t)extent->len);
        }
    }
    scratch_give(environment, index_of_scratch);
}

static void decrypt(struct reader_slot *slot, const struct slot_piece *piece, uint32_t vcpu)
{
    const struct extent *extent = &piece->extent;
    const struct data_cipher *cipher = piece->image->cipher;
    uint8_t *place = slot_at(slot, extent->voff);
    if (piece->is_in_place) {
        cipher->decrypt(cipher, extent->cipher_off, place, place, (size_t)extent->len);
        return;
    }
    uint32_t scratch_index = scratch_take(slot->environment, vcpu);
    uint8_t *unit = slot->environment->scratch[scratch_index] + slot->environment->scratch_len;
    cipher->decrypt(cipher, extent->cipher_off, slot_stream(slot, piece), unit, cipher->unit_len);
    memcpy(place, unit + (extent->voff - extent->cluster_voff), (size_t)extent->len);
    scratch_give(slot->environment, scratch_index);
}

static void run_task(struct worker_task *task, uint32_t vcpu)
{
    struct slot_task *work = (struct slot_task *)task;
    struct reader_slot *slot = work->slot;
    for (uint32_t i = work->first; i < work->end; i++) {
        const struct slot_piece *piece = &slot->pieces[i];
        if (piece->is_long) {
            continue; /* what a decoder does with it is not looked at */
        }
        if (piece->extent.kind == EXTENT_COMPRESSED) {
            if (piece->leader == i) {
                make_cluster(slot, i, vcpu);
            }
        } else if (piece->extent.kind == EXTENT_ENCRYPTED) {
            if (!piece->is_unreadable) {
                decrypt(slot, piece, vcpu);
            }
        } else if (!piece->is_unreadable) {
            memcpy(slot_at(slot, piece->extent.voff), slot_stream(slot, piece), (size_t)piece->extent.len);
        }
    }
}

/* What a piece means in work; a decoder's is not the tasks'. */
static uint64_t work_len(const struct slot_piece *piece, uint32_t index)
{
    if (piece->is_long || piece->leader != index) {
        return 0;
    }
    return piece->extent.kind == EXTENT_ENCRYPTED
               ? piece->extent.len
               : max_u64(piece->extent.len, image_unit_len(piece->image, &piece->extent));
}

void slot_start_tasks(struct reader_slot *slot)
{
    uint64_t task_len = slot->environment->slot_len / SLOT_TASKS_MAX;
    uint64_t len = 0;
    uint32_t first = 0;
    for (uint32_t i = 0; i < slot->piece_count; i++) {
        len += work_len(&slot->pieces[i], i);
        bool is_last = i + 1 == slot->piece_count;
        if (!is_last && (len < task_len || slot->task_count + 1 == SLOT_TASKS_MAX)) {
            continue;
        }
        if (len == 0) {
            break; /* what is left is made by decoders, and with other pieces */
        }
        struct slot_task *work = &slot->tasks[slot->task_count++];
        *work = (struct slot_task){.task = {.run = run_task}, .slot = slot, .first = first, .end = i + 1};
        slot->environment->tasks_pending++;
        workers_submit(&work->task);
        first = i + 1;
        len = 0;
    }
    slot->state = SLOT_WORKING;
}

void slot_find_reason(struct reader_slot *slot, struct slot_piece *piece)
{
    uint32_t scratch_index = scratch_take(slot->environment, 0);
    uint8_t *scratch = slot->environment->scratch[scratch_index];
    if (decompress(slot, piece, scratch + slot->environment->scratch_len, scratch, &slot->error)) {
        error_fill(&slot->error, ERROR_MALFORMED, piece->extent.file->name,
                   "the compressed cluster at offset 0x%llx is not always the same",
                   (unsigned long long)piece->extent.file_off);
    }
    scratch_give(slot->environment, scratch_index);
}
