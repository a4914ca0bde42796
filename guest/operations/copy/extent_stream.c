/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/copy/extent_stream.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/span.h"

bool extent_stream_init(struct extent_stream *stream, struct virtio_blk *blk, uint16_t queue_index, struct arena *arena)
{
    *stream = (struct extent_stream){
        .blk = blk,
        .queue_index = queue_index,
        .request = arena_allocate(arena, sizeof(*stream->request), _Alignof(struct virtio_blk_request)),
        .answer = arena_allocate(arena, EXTENT_ANSWER_LEN, 8),
        .batch = arena_allocate(arena, EXTENT_BATCH_MAX * sizeof(*stream->batch), 8),
    };
    if (stream->request == NULL || stream->answer == NULL || stream->batch == NULL) {
        return false;
    }
    stream->request->owner = stream;
    if (blk->file_len == 0) {
        stream->state = EXTENT_STREAM_ENDED;
    } else if ((blk->mmio.features & VIRTIO_BLK_F_INSTAR) == 0) {
        /* A device that cannot tell: everything is data. */
        stream->batch[0] = (struct virtio_blk_extent){.len = blk->file_len, .kind = VIRTIO_BLK_EXTENT_DATA};
        stream->count = 1;
        stream->state = EXTENT_STREAM_ENDED;
    }
    return true;
}

void extent_stream_ask(struct extent_stream *stream)
{
    if (stream->state == EXTENT_STREAM_IDLE && virtio_blk_room(stream->blk, stream->queue_index) > 0) {
        virtio_blk_extents(stream->blk, stream->queue_index, stream->request, stream->asked_off, stream->answer,
                           EXTENT_ANSWER_LEN);
        stream->state = EXTENT_STREAM_ASKED;
    }
}

void extent_stream_answered(struct extent_stream *stream)
{
    stream->state = EXTENT_STREAM_ANSWERED;
}

static bool malformed(const struct extent_stream *stream, const char *what, struct error *error)
{
    return error_set(error, ERROR_HOST, stream->blk->mmio.name, "the device's list of data and holes at 0x%llx %s",
                     (unsigned long long)stream->asked_off, what);
}

/* Gapless from the asked offset, each extent of a known kind and not empty. Sets *ret_end_off to their end. */
static bool batch_check(const struct extent_stream *stream, uint64_t *ret_end_off, struct error *error)
{
    uint64_t end_off = stream->asked_off;
    for (uint32_t i = 0; i < stream->count; i++) {
        const struct virtio_blk_extent *extent = &stream->batch[i];
        if (extent->off != end_off || extent->len == 0 || !checked_add(end_off, extent->len, &end_off)) {
            return malformed(stream, "has gaps", error);
        }
        if (extent->kind != VIRTIO_BLK_EXTENT_DATA && extent->kind != VIRTIO_BLK_EXTENT_HOLE) {
            return malformed(stream, "has an unknown kind", error);
        }
    }
    *ret_end_off = end_off;
    return true;
}

/* Makes the answer the current batch. */
static bool batch_take(struct extent_stream *stream, struct error *error)
{
    RETURN_IF_FAILED(virtio_blk_check(stream->blk, stream->request, error));
    struct virtio_blk_extents_head head;
    uint32_t written_len = stream->request->written_len;
    struct span answer = {stream->answer, written_len > 0 ? written_len - 1 : 0}; /* without the status */
    if (!span_copy(answer, 0, &head, sizeof(head)) || head.count == 0 || head.count > EXTENT_BATCH_MAX ||
        !span_copy(answer, sizeof(head), stream->batch, head.count * sizeof(*stream->batch))) {
        return malformed(stream, "is cut short", error);
    }
    stream->count = head.count;
    stream->next = 0;
    uint64_t end_off;
    RETURN_IF_FAILED(batch_check(stream, &end_off, error));
    if (end_off >= stream->blk->file_len) {
        stream->state = EXTENT_STREAM_ENDED;
        return true;
    }
    /* Every batch moves on by a sector at least, so the stream ends. */
    uint64_t next_off = round_down(end_off, VIRTIO_BLK_SECTOR_LEN);
    if (next_off == stream->asked_off) {
        return malformed(stream, "does not advance", error);
    }
    stream->asked_off = next_off;
    stream->state = EXTENT_STREAM_IDLE;
    return true;
}

bool extent_stream_next(struct extent_stream *stream, struct virtio_blk_extent *ret_extent, bool *ret_found,
                        struct error *error)
{
    if (stream->next == stream->count && stream->state == EXTENT_STREAM_ANSWERED) {
        RETURN_IF_FAILED(batch_take(stream, error));
    }
    *ret_found = stream->next < stream->count;
    if (*ret_found) {
        *ret_extent = stream->batch[stream->next++];
    }
    return true;
}
