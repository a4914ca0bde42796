/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast an image is read or written: requests of one length, several at once, and the time that they took. What is
 * read is thrown away, and what is written is one byte over and over, so that all requests share one memory.
 */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image_read.h"
#include "guest/image/write/target.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/platform.h"

/* Requests that may be under way: as many as a device's queue takes; more wait for their turn anyway. */
#define SLOT_MAX 63u
#define BUFFER_LEN_MAX (16u << 20)

struct bench;

enum slot_state {
    SLOT_FREE,
    SLOT_READY, /* its next piece may start */
    SLOT_BUSY,
};

/* A request: in pieces, as the image has it. */
struct slot {
    struct bench *bench;
    enum slot_state state;
    uint64_t voff;
    uint64_t left_len;
    uint64_t piece_len;
    struct io_request read;
    struct target_write write;
};

struct bench {
    const instar_BenchRequest *request;
    struct image_job *job;
    struct image *image;
    struct target *target; /* NULL: reads */
    uint8_t *buffer;
    struct image_read_memory memory;
    struct slot slots[SLOT_MAX];
    uint32_t depth;
    uint64_t step_len;
    uint64_t next_voff;
    uint32_t started;
    uint32_t finished;
    bool is_past_end; /* the next request is behind the disk's end */
    uint32_t busy;    /* slots */
    struct error error;
};

static void piece_done(struct slot *slot, const struct error *error)
{
    struct bench *bench = slot->bench;
    if (error != NULL && !error_is_set(&bench->error)) {
        bench->error = *error;
    }
    bench->busy--;
    slot->voff += slot->piece_len;
    slot->left_len -= slot->piece_len;
    slot->state = SLOT_READY;
    if (slot->left_len == 0) {
        slot->state = SLOT_FREE;
        bench->finished++;
    }
}

static void read_done(struct io_request *request, const struct error *error)
{
    piece_done(request->owner, error);
}

static void write_done(struct target_write *write, const struct error *error)
{
    piece_done(write->owner, error);
}

static bool read_piece(struct bench *bench, struct slot *slot, struct error *error)
{
    struct chain_extent found;
    RETURN_IF_FAILED(image_map(bench->image, slot->voff, slot->left_len, &found, error));
    slot->piece_len = found.extent.len;
    if (found.extent.kind == EXTENT_DATA) {
        slot->read = (struct io_request){.done = read_done, .owner = slot};
        io_read(bench->job->io, &slot->read, found.extent.file, found.extent.file_off, bench->buffer, slot->piece_len);
        return true;
    }
    RETURN_IF_FAILED(image_read(bench->image, slot->voff, bench->buffer, slot->piece_len, &bench->memory, error));
    piece_done(slot, NULL);
    return true;
}

static bool start_piece(struct bench *bench, struct slot *slot, struct error *error)
{
    slot->state = SLOT_BUSY;
    bench->busy++;
    if (bench->target == NULL) {
        return read_piece(bench, slot, error);
    }
    slot->write = (struct target_write){.done = write_done, .owner = slot};
    return bench->target->operations->write(bench->target, &slot->write, slot->voff, bench->buffer, slot->left_len,
                                            &slot->piece_len, error);
}

static bool start_request(struct bench *bench, struct slot *slot, struct error *error)
{
    uint64_t len = bench->request->buffer_size;
    if (!range_is_within(bench->next_voff, len, bench->image->virtual_len)) {
        bench->is_past_end = true; /* no further one starts, and those before it count */
        return true;
    }
    slot->voff = bench->next_voff;
    slot->left_len = len;
    bench->next_voff = (bench->next_voff + bench->step_len) % bench->image->virtual_len;
    bench->started++;
    return start_piece(bench, slot, error);
}

/* Whether everything so far is to be flushed before the next request. */
static bool is_flush_due(const struct bench *bench)
{
    uint32_t interval = bench->request->flush_interval;
    return bench->target != NULL && interval > 0 && bench->started > 0 && bench->started % interval == 0;
}

static bool start_all(struct bench *bench, bool *has_flushed, struct error *error)
{
    for (uint32_t i = 0; i < bench->depth; i++) {
        struct slot *slot = &bench->slots[i];
        if (slot->state == SLOT_READY) {
            RETURN_IF_FAILED(start_piece(bench, slot, error));
        } else if (slot->state == SLOT_FREE && bench->started < bench->request->count && !bench->is_past_end) {
            if (is_flush_due(bench) && !*has_flushed) {
                continue;
            }
            *has_flushed = false;
            RETURN_IF_FAILED(start_request(bench, slot, error));
        }
    }
    return true;
}

static bool run(struct bench *bench, struct error *error)
{
    bool has_flushed = false;
    while (bench->finished < bench->request->count) { /* ends: each round starts or finishes something */
        if (is_flush_due(bench) && !has_flushed && bench->finished == bench->started) {
            RETURN_IF_FAILED(bench->target->operations->flush(bench->target, error));
            has_flushed = true;
        }
        RETURN_IF_FAILED(start_all(bench, &has_flushed, error));
        if (bench->busy > 0) {
            RETURN_IF_FAILED(io_wait(bench->job->io, error));
        }
        if (error_is_set(&bench->error)) {
            *error = bench->error;
            return false;
        }
        if (bench->is_past_end && bench->finished == bench->started) {
            return true;
        }
    }
    return true;
}

static bool check_request(const struct bench *bench, struct error *error)
{
    const instar_BenchRequest *request = bench->request;
    if (request->depth == 0 || request->buffer_size == 0) {
        return error_set(error, ERROR_USAGE, NULL, "depth and buffer size must be positive");
    }
    if (request->buffer_size > BUFFER_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "requests of more than %u bytes are not supported",
                         BUFFER_LEN_MAX);
    }
    if (bench->target != NULL && (request->buffer_size % SECTOR_LEN != 0 || request->offset % SECTOR_LEN != 0 ||
                                  bench->step_len % SECTOR_LEN != 0 || bench->image->virtual_len % SECTOR_LEN != 0)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "writes that are not whole sectors are not supported");
    }
    return true;
}

static bool set_up(struct bench *bench, struct error *error)
{
    const instar_BenchRequest *request = bench->request;
    RETURN_IF_FAILED(
        image_job_open(bench->job, 0, request->write ? IMAGE_TO_CHANGE : IMAGE_TO_READ, &bench->image, error));
    bench->step_len = request->step_size != 0 ? request->step_size : request->buffer_size;
    bench->next_voff = request->offset;
    bench->depth = (uint32_t)min_u64(request->depth, SLOT_MAX);
    for (uint32_t i = 0; i < bench->depth; i++) {
        bench->slots[i].bench = bench;
    }
    if (request->write) {
        RETURN_IF_FAILED(target_open_image(bench->image, &bench->target, error));
    }
    RETURN_IF_FAILED(check_request(bench, error));
    bench->buffer = arena_allocate(bench->job->environment->arena, round_up(request->buffer_size, 4096), 4096);
    if (bench->buffer == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for requests of %u bytes", request->buffer_size);
    }
    memset(bench->buffer, (int)(request->pattern & 0xff), request->buffer_size);
    return true;
}

static void tell(bool is_over, uint64_t nanoseconds)
{
    static instar_GuestMessage message; /* large */
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_bench_tag};
    message.kind.bench.is_over = is_over;
    message.kind.bench.nanoseconds = nanoseconds;
    messages_send(&message);
}

bool operation_bench(struct image_job *job, struct error *error)
{
    struct bench *bench = arena_allocate(job->environment->arena, sizeof(*bench), _Alignof(struct bench));
    if (bench == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left");
    }
    *bench = (struct bench){.job = job, .request = &job->message->operation.bench};
    RETURN_IF_FAILED(set_up(bench, error));
    tell(false, 0);
    uint64_t start_ticks = platform_ticks();
    bool success = run(bench, error);
    uint64_t ticks = platform_ticks() - start_ticks;
    if (success && bench->target != NULL) {
        success = bench->target->operations->finish(bench->target, false, error);
    }
    if (!success) {
        target_abandon(bench->target);
        return false;
    }
    if (bench->is_past_end) {
        return error_set(error, ERROR_IO, NULL, "Failed request: Input/output error");
    }
    uint64_t khz = max_u64(job->ticks_khz, 1);
    tell(true, ticks / khz * 1000000 + ticks % khz * 1000000 / khz);
    return true;
}
