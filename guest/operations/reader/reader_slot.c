/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/reader_slot.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/operations/reader/reader_slot_work.h"
#include "guest/runtime/messages.h"

/* A slot is full for what begins at a sector when it has only so much left: for the extents of one more sector. */
#define RESERVE_COUNT 8u
#define RESERVE_LEN (RESERVE_COUNT * 2u * SECTOR_LEN)
/* Streams with at most this between them are read at once: it takes no longer than another request. */
#define STREAM_GAP_MAX 65536u
/* Reads, and pieces, that are looked at for what a stream could be joined with. */
#define LOOK_BACK 8u
/* Plain data is moved in pieces of this size, so that several tasks do it. */
#define MOVED_LEN 65536u

void slot_open(struct reader_slot *slot, uint64_t voff)
{
    uint64_t slot_len = slot->environment->slot_len;
    slot->state = SLOT_PLANNING;
    slot->voff = voff;
    slot->len = 0;
    slot->limit_end = round_down(voff, slot_len) + slot_len;
    slot->streams_used = 0;
    slot->read_count = 0;
    slot->piece_count = 0;
    slot->task_count = 0;
    slot->long_pending = 0;
    slot->users = 0;
    slot->has_failed = false;
    slot->error = (struct error){0};
}

uint8_t *slot_at(const struct reader_slot *slot, uint64_t voff)
{
    return slot->buffer + voff % slot->environment->slot_len;
}

static struct slot_read *add_read(struct reader_slot *slot, struct file *file, uint64_t off, uint64_t len)
{
    struct slot_read *read = &slot->reads[slot->read_count++];
    read->slot = slot;
    read->file = file;
    read->off = off;
    read->len = len;
    read->data = NULL;
    read->is_stream = false;
    read->has_failed = false;
    return read;
}

/* Plans to read [off, end) of a file, together with others if that is one read. False when the buffer is full. */
static bool add_stream(struct reader_slot *slot, struct file *file, uint64_t off, uint64_t end, uint64_t room,
                       uint32_t *ret_read)
{
    for (uint32_t i = 1; i <= LOOK_BACK && i <= slot->read_count; i++) {
        struct slot_read *read = &slot->reads[slot->read_count - i];
        if (!read->is_stream || read->file != file) {
            continue;
        }
        uint64_t joined_off = min_u64(read->off, off);
        uint64_t joined_len = max_u64(read->off + read->len, end) - joined_off;
        if (joined_len > read->len + (end - off) + STREAM_GAP_MAX || joined_len - read->len > room) {
            continue;
        }
        slot->streams_used += joined_len - read->len;
        read->off = joined_off;
        read->len = joined_len;
        *ret_read = slot->read_count - i;
        return true;
    }
    if (end - off > room) {
        return false;
    }
    slot->streams_used += end - off;
    *ret_read = slot->read_count;
    add_read(slot, file, off, end - off)->is_stream = true;
    return true;
}

/* The piece that brings the cluster of `extent`, too, if there is one not far away. */
static uint32_t find_leader(const struct reader_slot *slot, const struct chain_extent *found)
{
    for (uint32_t i = 1; i <= LOOK_BACK && i <= slot->piece_count; i++) {
        const struct slot_piece *piece = &slot->pieces[slot->piece_count - i];
        if (piece->image == found->image && piece->extent.kind == EXTENT_COMPRESSED &&
            piece->extent.cluster_voff == found->extent.cluster_voff &&
            piece->extent.file_off == found->extent.file_off &&
            piece->extent.compressed_len == found->extent.compressed_len) {
            return piece->leader;
        }
    }
    return slot->piece_count;
}

/* What there is to work on, `stream_len` bytes at the extent's file_off. Sets *ret_is_added when it fits. */
static bool add_piece(struct reader_slot *slot, const struct chain_extent *found, uint64_t stream_len,
                      bool *ret_is_added, struct error *error)
{
    const struct extent *extent = &found->extent;
    bool is_at_sector = extent->voff % SECTOR_LEN == 0;
    uint64_t end;
    if (!checked_add(extent->file_off, stream_len, &end) || !checked_round_up(end, SECTOR_LEN, &end)) {
        return error_set(error, ERROR_MALFORMED, extent->file->name, "data at offset 0x%llx",
                         (unsigned long long)extent->file_off);
    }
    uint64_t room = slot->environment->streams_len - slot->streams_used;
    if (is_at_sector) {
        room = room > RESERVE_LEN ? room - RESERVE_LEN : 0;
    }
    uint32_t read;
    if (!add_stream(slot, extent->file, round_down(extent->file_off, SECTOR_LEN), end, room, &read)) {
        *ret_is_added = false;
        return true;
    }
    uint32_t leader = extent->kind == EXTENT_COMPRESSED ? find_leader(slot, found) : slot->piece_count;
    slot->pieces[slot->piece_count] = (struct slot_piece){
        .extent = *extent,
        .image = found->image,
        .read = read,
        .leader = leader,
    };
    slot->pieces[leader].last = slot->piece_count;
    slot->piece_count++;
    *ret_is_added = true;
    return true;
}

/* Sets *ret_len to how much of the extent was added. */
static bool add_data(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len, struct error *error)
{
    const struct extent *extent = &found->extent;
    if ((extent->voff | extent->file_off) % SECTOR_LEN == 0 && extent->len >= SECTOR_LEN) {
        *ret_len = round_down(extent->len, SECTOR_LEN);
        add_read(slot, extent->file, extent->file_off, *ret_len)->data = slot_at(slot, extent->voff);
        return true;
    }
    /* To the end of the sector first; and then so that what cannot be read is not more than a sector. */
    uint64_t len_max = SECTOR_LEN - extent->voff % SECTOR_LEN;
    if (len_max == SECTOR_LEN && !slot->environment->salvage) {
        len_max = MOVED_LEN;
    }
    struct chain_extent part = *found;
    part.extent.len = min_u64(extent->len, len_max);
    bool is_added;
    RETURN_IF_FAILED(add_piece(slot, &part, part.extent.len, &is_added, error));
    *ret_len = is_added ? part.extent.len : 0;
    return true;
}

/* A part of a long unit: the decoder that was chosen for it makes it when it is there. */
static bool add_long(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len, struct error *error)
{
    struct slot_piece *piece = &slot->pieces[slot->piece_count];
    *piece = (struct slot_piece){
        .extent = found->extent,
        .image = found->image,
        .read = UINT32_MAX,
        .leader = slot->piece_count,
        .last = slot->piece_count,
        .is_long = true,
        .slot = slot,
    };
    RETURN_IF_FAILED(reader_streams_add(&slot->environment->streams, piece, error));
    slot->piece_count++;
    slot->long_pending++;
    *ret_len = found->extent.len;
    return true;
}

static bool add_compressed(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len,
                           struct error *error)
{
    const struct extent *extent = &found->extent;
    const struct image *image = found->image;
    if (unit_is_long(image, extent)) {
        return add_long(slot, found, ret_len, error);
    }
    uint32_t unit_len = image_unit_len(image, extent);
    if (image->format->decompress == NULL || unit_len > slot->environment->unit_len_max ||
        image->scratch_len > slot->environment->scratch_len ||
        !range_is_within(extent->voff - extent->cluster_voff, extent->len, unit_len) ||
        extent->compressed_len > slot->environment->streams_len - RESERVE_LEN - 2u * SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, extent->file->name,
                         "the compressed cluster at offset 0x%llx cannot be one", (unsigned long long)extent->file_off);
    }
    bool is_added;
    RETURN_IF_FAILED(add_piece(slot, found, extent->compressed_len, &is_added, error));
    *ret_len = is_added ? extent->len : 0;
    return true;
}

/* Reads `len` bytes to their place, together with what the last read brings if they follow that. */
static uint32_t add_read_in_place(struct reader_slot *slot, const struct extent *extent, uint64_t len)
{
    uint8_t *data = slot_at(slot, extent->voff);
    if (slot->read_count > 0) {
        struct slot_read *last = &slot->reads[slot->read_count - 1];
        if (!last->is_stream && last->file == extent->file && last->off + last->len == extent->file_off &&
            last->data + last->len == data) {
            last->len += len;
            return slot->read_count - 1;
        }
    }
    add_read(slot, extent->file, extent->file_off, len)->data = data;
    return slot->read_count - 1;
}

/*
 * Whole units that lie at sectors are read to their place; of others, one at a time, as a stream. So are all where
 * something may be lost: a unit is lost whole.
 */
static bool add_encrypted(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len,
                          struct error *error)
{
    const struct extent *extent = &found->extent;
    const struct data_cipher *cipher = found->image->cipher;
    if (cipher == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, extent->file->name, "the image was opened without its key");
    }
    uint64_t in_unit = extent->cipher_off % cipher->unit_len;
    if (!slot->environment->salvage && in_unit == 0 && (extent->voff | extent->file_off) % SECTOR_LEN == 0 &&
        extent->len >= cipher->unit_len) {
        uint64_t len = round_down(min_u64(extent->len, MOVED_LEN), cipher->unit_len);
        struct slot_piece piece = {
            .extent = *extent, .image = found->image, .leader = slot->piece_count, .is_in_place = true};
        piece.extent.len = len;
        piece.read = add_read_in_place(slot, extent, len);
        slot->pieces[slot->piece_count++] = piece;
        *ret_len = len;
        return true;
    }
    struct chain_extent part = *found;
    part.extent.len = min_u64(extent->len, cipher->unit_len - in_unit);
    part.extent.file_off -= in_unit;
    part.extent.cipher_off -= in_unit;
    part.extent.cluster_voff = extent->voff - in_unit;
    bool is_added;
    RETURN_IF_FAILED(add_piece(slot, &part, cipher->unit_len, &is_added, error));
    *ret_len = is_added ? part.extent.len : 0;
    return true;
}

static bool add_stored(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len,
                       struct error *error)
{
    const struct extent *extent = &found->extent;
    switch (extent->kind) {
    case EXTENT_DATA:
        return add_data(slot, found, ret_len, error);
    case EXTENT_COMPRESSED:
        return add_compressed(slot, found, ret_len, error);
    case EXTENT_ENCRYPTED:
        return add_encrypted(slot, found, ret_len, error);
    case EXTENT_UNALLOCATED:
    case EXTENT_ZERO:
        break;
    }
    return error_set(error, ERROR_MALFORMED, found->image->file->name, "the extent at offset 0x%llx is of no kind",
                     (unsigned long long)extent->voff);
}

bool slot_add(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len, struct error *error)
{
    struct chain_extent part = *found;
    uint64_t voff = part.extent.voff;
    uint64_t len = min_u64(part.extent.len, slot->limit_end - voff);
    part.extent.len = len;
    if (part.extent.kind == EXTENT_ZERO) {
        memset(slot_at(slot, voff), 0, (size_t)len);
    } else {
        uint32_t reserve = voff % SECTOR_LEN == 0 ? RESERVE_COUNT : 0;
        len = 0;
        if (slot->read_count + reserve < SLOT_READS_MAX && slot->piece_count + reserve < SLOT_PIECES_MAX) {
            RETURN_IF_FAILED(add_stored(slot, &part, &len, error));
        }
        if (len == 0 && reserve == 0) {
            return error_set(error, ERROR_UNSUPPORTED, part.image->file->name,
                             "the sector at offset 0x%llx consists of too many parts",
                             (unsigned long long)round_down(voff, SECTOR_LEN));
        }
    }
    slot->len += len;
    *ret_len = len;
    return true;
}

static void read_done(struct io_request *request, const struct error *error)
{
    struct slot_read *read = request->owner;
    struct reader_slot *slot = read->slot;
    if (error != NULL) {
        read->has_failed = true;
        if (!error_is_set(&slot->error)) {
            slot->error = *error;
        }
    }
    slot->reads_pending--;
    slot->environment->reads_pending--;
}

void slot_submit(struct reader_slot *slot)
{
    uint64_t streams_off = 0;
    struct slot_environment *environment = slot->environment;
    slot->state = SLOT_READING;
    for (uint32_t i = 0; i < slot->read_count; i++) {
        struct slot_read *read = &slot->reads[i];
        if (read->is_stream) {
            read->data = slot->streams + streams_off;
            streams_off += read->len;
        }
        read->request = (struct io_request){.done = read_done, .owner = read};
        slot->reads_pending++;
        environment->reads_pending++;
        environment->bytes_read += read->len;
        io_read(environment->io, &read->request, read->file, read->off, read->data, read->len);
    }
}

/* What qemu-img says of each sector that is lost. */
static void warn(const struct reader_slot *slot, uint64_t voff)
{
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_warning_tag,
        .kind.warning.device = slot->environment->device,
    };
    snprintf(message.kind.warning.text, sizeof(message.kind.warning.text),
             "error while reading offset %llu: Input/output error", (unsigned long long)voff);
    messages_send(&message);
}

/* Makes zeros of what is lost, sector by sector. */
static void give_up(struct reader_slot *slot, uint64_t voff, uint64_t len)
{
    memset(slot_at(slot, voff), 0, (size_t)len);
    for (uint64_t off = round_down(voff, SECTOR_LEN); off < voff + len; off += SECTOR_LEN) {
        warn(slot, off);
    }
}

/* A read failed as a whole: reads what can be read of it, sector by sector, or stream by stream. */
static void salvage_read(struct reader_slot *slot, uint32_t index)
{
    const struct slot_read *read = &slot->reads[index];
    struct error error;
    for (uint32_t i = 0; read->is_stream && i < slot->piece_count; i++) {
        struct slot_piece *piece = &slot->pieces[i];
        if (piece->read == index) {
            error = (struct error){0};
            piece->is_unreadable = !file_read(read->file, piece->extent.file_off, slot_stream(slot, piece),
                                              (size_t)slot_stream_len(piece), &error);
        }
    }
    for (uint64_t off = 0; !read->is_stream && off < read->len; off += SECTOR_LEN) {
        uint64_t len = min_u64(SECTOR_LEN, read->len - off);
        error = (struct error){0};
        if (!file_read(read->file, read->off + off, read->data + off, (size_t)len, &error)) {
            uint64_t slot_off = (uint64_t)(read->data + off - slot->buffer);
            give_up(slot, round_down(slot->voff, slot->environment->slot_len) + slot_off, len);
        }
    }
}

/* Returns whether there is anything to go on with. */
static bool finish_reads(struct reader_slot *slot)
{
    if (!error_is_set(&slot->error)) {
        return true;
    }
    if (!slot->environment->salvage) {
        slot->has_failed = true;
        return false;
    }
    for (uint32_t i = 0; i < slot->read_count; i++) {
        if (slot->reads[i].has_failed) {
            salvage_read(slot, i);
        }
    }
    return true;
}

static void finish_tasks(struct reader_slot *slot)
{
    for (uint32_t i = 0; i < slot->piece_count && !slot->has_failed; i++) {
        struct slot_piece *piece = &slot->pieces[i];
        if (!piece->is_unreadable) {
            continue;
        }
        if (slot->environment->salvage) {
            give_up(slot, piece->extent.voff, piece->extent.len);
            continue;
        }
        slot->has_failed = true;
        if (piece->is_long) {
            continue; /* the decoder has said why */
        }
        slot_find_reason(slot, piece);
    }
}

static bool tasks_are_done(const struct reader_slot *slot)
{
    for (uint32_t i = 0; i < slot->task_count; i++) {
        if (!worker_task_is_done(&slot->tasks[i].task)) {
            return false;
        }
    }
    return true;
}

/* The buffer goes on with zeros to the next sector, where the disk has ended within one. */
static void finish(struct reader_slot *slot)
{
    uint64_t end = slot->voff + slot->len;
    uint64_t rest = end % SECTOR_LEN;
    if (rest != 0 && end == slot->environment->disk_end) {
        memset(slot_at(slot, end - 1) + 1, 0, (size_t)(SECTOR_LEN - rest));
    }
    slot->state = SLOT_READY;
}

void slot_advance(struct reader_slot *slot)
{
    if (slot->state == SLOT_READING && slot->reads_pending == 0) {
        if (finish_reads(slot) && slot->piece_count > 0) {
            slot_start_tasks(slot);
        } else {
            finish(slot);
        }
    }
    if (slot->state == SLOT_WORKING && slot->long_pending == 0 && tasks_are_done(slot)) {
        slot->environment->tasks_pending -= slot->task_count;
        finish_tasks(slot);
        finish(slot);
    }
}
