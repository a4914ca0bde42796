/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/unit_stream.h"

#include "abi/layout.h"
#include "base/checked.h"

/* Some milliseconds of work: much more than a request costs. */
#define INPUT_LEN (256ull << 10)
#define WASTE_LEN (64ull << 10)

uint64_t unit_stream_memory_len(uint64_t state_len)
{
    return round_up(state_len, LAYOUT_PAGE_LEN) + INPUT_LEN + WASTE_LEN + LAYOUT_PAGE_LEN;
}

bool unit_stream_init(struct unit_stream *stream, struct arena *arena, uint64_t state_len)
{
    uint64_t first_len = round_up(state_len, LAYOUT_PAGE_LEN);
    uint8_t *memory = arena_allocate(arena, first_len + INPUT_LEN + WASTE_LEN, LAYOUT_PAGE_LEN);
    if (memory == NULL) {
        return false;
    }
    *stream = (struct unit_stream){
        .state = memory,
        .state_len = state_len,
        .buffer = memory + first_len,
        .waste = memory + first_len + INPUT_LEN,
    };
    return true;
}

bool unit_stream_is_at(const struct unit_stream *stream, const struct image *image, const struct extent *extent)
{
    return stream->image == image && stream->extent.cluster_voff == extent->cluster_voff &&
           stream->extent.file == extent->file && stream->extent.file_off == extent->file_off &&
           stream->extent.compressed_len == extent->compressed_len;
}

bool unit_stream_begin(struct unit_stream *stream, const struct image *image, const struct extent *extent,
                       struct error *error)
{
    uint64_t end;
    if (image->format->decompress_step == NULL || image->stream_state_len > stream->state_len ||
        image_unit_len(image, extent) > image_unit_len_max(image) ||
        !range_is_within(extent->voff - extent->cluster_voff, extent->len, image_unit_len(image, extent)) ||
        !checked_add(extent->file_off, extent->compressed_len, &end)) {
        return error_set(error, ERROR_MALFORMED, extent->file->name,
                         "the compressed unit at offset 0x%llx cannot be one", (unsigned long long)extent->file_off);
    }
    stream->image = image;
    stream->extent = *extent;
    stream->made_len = 0;
    stream->given_len = 0;
    stream->input = (struct span){stream->buffer, 0};
    stream->is_first = true;
    stream->is_finished = false;
    stream->has_failed = false;
    stream->error = (struct error){0};
    return true;
}

bool unit_stream_wants_input(const struct unit_stream *stream, uint64_t *ret_off, uint64_t *ret_len)
{
    uint64_t left_len = stream->extent.compressed_len - stream->given_len;
    if (stream->input.len > 0 || left_len == 0 || stream->has_failed || stream->is_finished) {
        return false;
    }
    *ret_off = stream->extent.file_off + stream->given_len;
    *ret_len = min_u64(left_len, INPUT_LEN);
    return true;
}

void unit_stream_give(struct unit_stream *stream, uint64_t len)
{
    stream->input = (struct span){stream->buffer, (size_t)len};
    stream->given_len += len;
}

static void fail(struct unit_stream *stream, const char *what)
{
    stream->has_failed = true;
    if (!error_is_set(&stream->error)) {
        error_fill(&stream->error, ERROR_MALFORMED, stream->extent.file->name,
                   "the compressed unit of offset %llu %s (its stream is at %llu)",
                   (unsigned long long)stream->extent.cluster_voff, what, (unsigned long long)stream->extent.file_off);
    }
}

/* Lets the codec go on, to `room` bytes at `output`. Whether it came on, and the reason if it cannot. */
static bool step(struct unit_stream *stream, uint8_t *output, uint64_t room, uint64_t *ret_made)
{
    struct stream_step step = {
        .input = stream->input,
        .input_is_last = stream->given_len == stream->extent.compressed_len,
        .output = output,
        .output_len = (size_t)room,
        .is_first = stream->is_first,
    };
    uint64_t unit_len = image_unit_len(stream->image, &stream->extent);
    struct extent own = image_own_extent(&stream->extent);
    if (!stream->image->format->decompress_step(stream->image, &own, &step, stream->state, &stream->error)) {
        fail(stream, "is damaged");
        return false;
    }
    bool has_moved = stream->is_first || step.input.len < stream->input.len || step.output_len < room;
    *ret_made = room - step.output_len;
    stream->is_first = false;
    stream->input = step.input;
    stream->made_len += *ret_made;
    stream->is_finished = step.is_finished;
    if (step.is_finished && stream->made_len < unit_len) {
        fail(stream, "ends early");
    } else if (!has_moved && !step.is_finished && (stream->input.len > 0 || step.input_is_last)) {
        fail(stream, stream->made_len < unit_len ? "ends early" : "does not end where it should");
    }
    return has_moved && !stream->has_failed;
}

static bool has_made(const struct unit_stream *stream, uint64_t end)
{
    return stream->made_len >= end &&
           (end < image_unit_len(stream->image, &stream->extent) || (stream->is_finished && !stream->has_failed));
}

bool unit_stream_has(const struct unit_stream *stream, const struct extent *extent)
{
    return has_made(stream, extent->voff - extent->cluster_voff + extent->len);
}

bool unit_stream_expand(struct unit_stream *stream, uint64_t off, uint8_t *target, uint64_t len)
{
    uint64_t end = off + len;
    for (;;) { /* ends: each round takes input or makes output, of which there is as much as the unit's length */
        if (stream->has_failed || has_made(stream, end)) {
            return !stream->has_failed;
        }
        uint8_t *output = stream->waste;
        uint64_t room = 0;
        if (stream->made_len < off) {
            room = min_u64(off - stream->made_len, WASTE_LEN);
        } else if (stream->made_len < end) {
            output = target + (stream->made_len - off);
            room = end - stream->made_len;
        }
        uint64_t made;
        if (!step(stream, output, room, &made)) {
            return false;
        }
    }
}

bool unit_stream_read(struct unit_stream *stream, const struct image *image, const struct extent *extent,
                      uint8_t *target, struct error *error)
{
    uint64_t off = extent->voff - extent->cluster_voff;
    if (!unit_stream_is_at(stream, image, extent) || stream->made_len > off || stream->has_failed) {
        RETURN_IF_FAILED(unit_stream_begin(stream, image, extent, error));
    }
    for (;;) { /* ends: each round takes a part of the stream */
        uint64_t input_off, input_len;
        if (unit_stream_wants_input(stream, &input_off, &input_len)) {
            RETURN_IF_FAILED(file_read(stream->extent.file, input_off, stream->buffer, (size_t)input_len, error));
            unit_stream_give(stream, input_len);
        }
        if (unit_stream_expand(stream, off, target, extent->len)) {
            return true;
        }
        if (stream->has_failed) {
            *error = stream->error;
            return false;
        }
    }
}
