/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/reader_streams.h"

#include "base/checked.h"
#include "guest/operations/reader/reader_slot.h"

bool reader_streams_init(struct reader_streams *streams, const struct reader_streams_setup *setup)
{
    uint64_t len = unit_stream_memory_len(setup->state_len) + sizeof(struct reader_decoder);
    uint64_t count = min_u64(min_u64(setup->vcpu_count, READER_STREAMS_MAX), max_u64(setup->memory_len / len, 1));
    streams->environment = setup->environment;
    streams->decoders =
        arena_allocate(setup->arena, count * sizeof(*streams->decoders), _Alignof(struct reader_decoder));
    for (uint32_t i = 0; streams->decoders != NULL && i < count; i++) {
        struct reader_decoder *decoder = &streams->decoders[i];
        decoder->environment = setup->environment;
        if (!unit_stream_init(&decoder->stream, setup->arena, setup->state_len)) {
            return false;
        }
        streams->count++;
    }
    return streams->count > 0;
}

static bool is_idle(const struct reader_decoder *decoder)
{
    return decoder->first == NULL && !decoder->is_reading && !decoder->is_working;
}

/* Whether nothing more can come of the unit that it is at, or there is none. */
static bool is_through(const struct reader_decoder *decoder)
{
    const struct unit_stream *stream = &decoder->stream;
    return stream->image == NULL ||
           decoder->planned_end == stream->extent.cluster_voff + image_unit_len(stream->image, &stream->extent);
}

/* Whether `other` is to be given up rather than `decoder`: of those whose unit is not through, the oldest one. */
static bool is_better(const struct reader_decoder *decoder, const struct reader_decoder *other)
{
    return decoder == NULL || (is_through(other) && !is_through(decoder)) ||
           (is_through(other) == is_through(decoder) && other->last_use < decoder->last_use);
}

bool reader_streams_choose(struct reader_streams *streams, const struct chain_extent *found)
{
    struct reader_decoder *best = NULL;
    streams->failure = (struct error){0};
    for (uint32_t i = 0; i < streams->count; i++) {
        struct reader_decoder *decoder = &streams->decoders[i];
        if (unit_stream_is_at(&decoder->stream, found->image, &found->extent) &&
            decoder->planned_end <= found->extent.voff) {
            streams->chosen = decoder;
            return true;
        }
        if (is_idle(decoder) && is_better(best, decoder)) {
            best = decoder;
        }
    }
    streams->chosen = best;
    if (best != NULL && !unit_stream_begin(&best->stream, found->image, &found->extent, &streams->failure)) {
        streams->chosen = NULL;
        return true; /* reader_streams_add tells */
    }
    return best != NULL;
}

bool reader_streams_add(struct reader_streams *streams, struct slot_piece *piece, struct error *error)
{
    struct reader_decoder *decoder = streams->chosen;
    if (decoder == NULL) {
        *error = streams->failure;
        return false;
    }
    piece->next = NULL;
    if (decoder->first == NULL) {
        decoder->first = piece;
    } else {
        decoder->last->next = piece;
    }
    decoder->last = piece;
    decoder->planned_end = piece->extent.voff + piece->extent.len;
    decoder->last_use = ++streams->use_count;
    return true;
}

static bool make_piece(struct reader_decoder *decoder)
{
    const struct slot_piece *piece = decoder->first;
    const struct extent *extent = &piece->extent;
    return unit_stream_expand(&decoder->stream, extent->voff - extent->cluster_voff, slot_at(piece->slot, extent->voff),
                              extent->len);
}

static void run_task(struct worker_task *task, uint32_t vcpu)
{
    struct reader_decoder *decoder = (struct reader_decoder *)task;
    (void)vcpu;
    (void)make_piece(decoder); /* vCPU 0 looks how far it came */
}

static void read_done(struct io_request *request, const struct error *error)
{
    struct reader_decoder *decoder = request->owner;
    decoder->is_reading = false;
    decoder->environment->reads_pending--;
    if (error != NULL) {
        decoder->stream.has_failed = true;
        decoder->stream.error = *error;
        return;
    }
    unit_stream_give(&decoder->stream, decoder->input_len);
}

/* The first piece is made, or never will be. */
static void pop_piece(struct reader_decoder *decoder)
{
    struct slot_piece *piece = decoder->first;
    struct reader_slot *slot = piece->slot;
    if (decoder->stream.has_failed) {
        piece->is_unreadable = true;
        if (!error_is_set(&slot->error)) {
            slot->error = decoder->stream.error;
        }
    }
    decoder->first = piece->next;
    slot->long_pending--;
}

static void submit_read(struct reader_decoder *decoder, uint64_t off)
{
    struct slot_environment *environment = decoder->environment;
    decoder->request = (struct io_request){.done = read_done, .owner = decoder};
    decoder->is_reading = true;
    environment->reads_pending++;
    environment->bytes_read += decoder->input_len;
    io_read(environment->io, &decoder->request, decoder->stream.extent.file, off, decoder->stream.buffer,
            decoder->input_len);
}

static void advance(struct reader_decoder *decoder)
{
    if (decoder->is_reading || (decoder->is_working && !worker_task_is_done(&decoder->task))) {
        return;
    }
    if (decoder->is_working) {
        decoder->is_working = false;
        decoder->environment->tasks_pending--;
    }
    const struct unit_stream *stream = &decoder->stream;
    while (decoder->first != NULL) { /* ends: no piece is added here */
        uint64_t off;
        if (stream->has_failed || unit_stream_has(stream, &decoder->first->extent)) {
            pop_piece(decoder);
        } else if (unit_stream_wants_input(stream, &off, &decoder->input_len)) {
            submit_read(decoder, off);
            return;
        } else {
            decoder->task = (struct worker_task){.run = run_task};
            decoder->is_working = true;
            decoder->environment->tasks_pending++;
            workers_submit(&decoder->task);
            return;
        }
    }
}

void reader_streams_advance(struct reader_streams *streams)
{
    for (uint32_t i = 0; i < streams->count; i++) {
        advance(&streams->decoders[i]);
    }
}
