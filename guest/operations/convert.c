/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts images to a raw file: the disks of all sources, one after the other, each of them whole sectors. What is
 * plain data in a source's file is copied by the host; everything else is read, decompressed and written here.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/operations/convert_target.h"
#include "guest/operations/disk_walk.h"
#include "guest/operations/image_job.h"
#include "guest/operations/progress_report.h"
#include "guest/operations/rate_limit.h"
#include "guest/runtime/messages.h"

/*
 * Plain data of this length is copied by a request of its own; shorter pieces are read and written together with their
 * neighbours.
 */
#define PLAIN_LEN_MIN (256ull << 10)
/* What the reader leaves of the arena. */
#define ARENA_RESERVE_LEN (64ull << 10)

enum preallocation {
    PREALLOCATION_OFF,
    PREALLOCATION_STORAGE, /* falloc and full: the file's storage is reserved */
};

struct convert {
    struct image_job *job;
    const instar_ConvertRequest *request;
    enum preallocation preallocation;
    struct image *images[IMAGE_JOB_SOURCES_MAX];
    uint64_t total_len; /* bytes, of all disks */
    struct reader *reader;
    struct convert_target target;
    struct progress progress;
    struct rate_limit rate_limit;
};

static bool parse_options(struct convert *convert, struct error *error)
{
    for (pb_size_t i = 0; i < convert->request->options_count; i++) {
        const instar_FormatOption *option = &convert->request->options[i];
        if (strcmp(option->name, "size") == 0) {
            continue; /* the sources' */
        }
        if (strcmp(option->name, "preallocation") != 0) {
            return error_set(error, ERROR_USAGE, NULL, "Invalid parameter '%s'", option->name);
        }
        if (strcmp(option->value, "falloc") == 0 || strcmp(option->value, "full") == 0) {
            convert->preallocation = PREALLOCATION_STORAGE;
        } else if (strcmp(option->value, "off") == 0) {
            convert->preallocation = PREALLOCATION_OFF;
        } else {
            return error_set(error, ERROR_USAGE, NULL, "invalid parameter value: %s", option->value);
        }
    }
    return true;
}

static bool check_request(const struct convert *convert, struct error *error)
{
    const struct image_job *job = convert->job;
    if (strcmp(convert->request->target_format, "raw") != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "writing images of format '%s' is not supported yet",
                         convert->request->target_format);
    }
    if (convert->request->has_range) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "writing a part of an image is not supported yet");
    }
    if (job->target == NULL || job->source_count == 0) {
        return error_set(error, ERROR_USAGE, NULL, "a conversion needs a source and a target");
    }
    return true;
}

static bool open_sources(struct convert *convert, struct error *error)
{
    struct image_job *job = convert->job;
    for (uint32_t i = 0; i < job->source_count; i++) {
        RETURN_IF_FAILED(image_job_open(job, i, IMAGE_TO_READ, &convert->images[i], error));
        uint64_t len;
        if (!checked_round_up(convert->images[i]->virtual_len, DISK_SECTOR_LEN, &len) ||
            !checked_add(convert->total_len, len, &convert->total_len) || convert->total_len > INT64_MAX) {
            return error_set(error, ERROR_UNSUPPORTED, job->sources[i]->name, "the disks are too large");
        }
    }
    return true;
}

static bool make_reader(struct convert *convert, struct error *error)
{
    struct image_job *job = convert->job;
    struct arena *arena = job->environment->arena;
    uint64_t left = arena_left(arena, 1);
    struct reader_setup setup = {
        .images = convert->images,
        .image_count = job->source_count,
        .io = job->io,
        .arena = arena,
        .vcpu_count = job->vcpu_count,
        .memory_len = left > ARENA_RESERVE_LEN ? left - ARENA_RESERVE_LEN : 0,
        .plain_len_min = job->target->takes_copies ? PLAIN_LEN_MIN : UINT64_MAX,
        .salvage = convert->request->salvage,
    };
    return reader_make(&setup, &convert->reader, error);
}

/* A file of the job's own, which can be given its length, and has nothing yet. */
static bool is_new(const struct convert *convert)
{
    return !convert->request->target_exists && convert->job->target->is_resizable;
}

static void init_target(struct convert *convert)
{
    const instar_ConvertRequest *request = convert->request;
    bool is_allocated = convert->preallocation != PREALLOCATION_OFF;
    struct convert_target_setup setup = {
        .io = convert->job->io,
        .file = convert->job->target,
        .reader = convert->reader,
        .progress = &convert->progress,
        .sparse_len = request->sparse_len,
        .piece_len = rate_limit_piece_len(&convert->rate_limit),
        /* The host would take away the storage of zeros. */
        .copies_zeros = request->sparse_len == 0 || is_allocated,
        .reads_as_zero = is_new(convert) || request->target_is_zero,
    };
    convert_target_init(&convert->target, &setup);
}

static bool prepare_target(struct convert *convert, struct error *error)
{
    struct file *file = convert->job->target;
    if (is_new(convert)) {
        RETURN_IF_FAILED(convert_target_set_len(&convert->target, convert->total_len, error));
        return convert->preallocation == PREALLOCATION_OFF || convert_target_allocate(&convert->target, error);
    }
    uint64_t len = round_down(file->len, DISK_SECTOR_LEN) + (file->len % DISK_SECTOR_LEN != 0 ? DISK_SECTOR_LEN : 0);
    if (len < convert->total_len) {
        return error_set(error, ERROR_USAGE, NULL, "output file is smaller than input file");
    }
    return true;
}

/* Submits what there is. Sets *ret_moved if that was something. */
static bool submit_parts(struct convert *convert, bool *ret_moved, struct error *error)
{
    struct convert_target *target = &convert->target;
    *ret_moved = false;
    for (;;) { /* ends: when the reader has no part or the target no request left */
        if (!target->has_part) {
            struct reader_part part;
            bool is_taken;
            RETURN_IF_FAILED(reader_take(convert->reader, &part, &is_taken, error));
            if (!is_taken) {
                return true;
            }
            convert_target_give(target, &part);
        }
        if (!rate_limit_allows(&convert->rate_limit, target->bytes_written)) {
            rate_limit_wait();
            *ret_moved = true;
            return true;
        }
        if (!convert_target_submit(target)) {
            return true;
        }
        *ret_moved = true;
    }
}

static bool convert_source(struct convert *convert, struct image *image, struct error *error)
{
    struct convert_target *target = &convert->target;
    reader_start(convert->reader, image);
    while (!reader_is_finished(convert->reader) || target->has_part || target->pending > 0) {
        bool has_moved;
        reader_advance(convert->reader);
        RETURN_IF_FAILED(submit_parts(convert, &has_moved, error));
        if (has_moved) {
            RETURN_IF_FAILED(io_poll(convert->job->io, error));
        } else {
            RETURN_IF_FAILED(reader_wait(convert->reader, &target->pending, error));
        }
        if (error_is_set(&target->error)) {
            *error = target->error;
            return false;
        }
        (void)progress_report(&convert->progress);
    }
    target->base_off += round_up(image->virtual_len, DISK_SECTOR_LEN);
    return true;
}

bool operation_convert(struct image_job *job, struct error *error)
{
    static struct convert convert;
    convert = (struct convert){.job = job, .request = &job->message->operation.convert};
    RETURN_IF_FAILED(parse_options(&convert, error));
    RETURN_IF_FAILED(check_request(&convert, error));
    RETURN_IF_FAILED(open_sources(&convert, error));
    RETURN_IF_FAILED(make_reader(&convert, error));
    progress_init(&convert.progress, convert.total_len, DISK_SECTOR_LEN, job->message->progress_percent);
    rate_limit_start(&convert.rate_limit, convert.request->rate_limit, job->ticks_khz);
    init_target(&convert);
    RETURN_IF_FAILED(prepare_target(&convert, error));
    for (uint32_t i = 0; i < job->source_count; i++) {
        RETURN_IF_FAILED(convert_source(&convert, convert.images[i], error));
    }
    if (convert.request->sync) {
        RETURN_IF_FAILED(convert_target_flush(&convert.target, error));
    }
    job->result.bytes_read = reader_bytes_read(convert.reader);
    job->result.bytes_written = convert.target.bytes_written;
    job->result.bytes_zero = convert.target.bytes_zero;
    return true;
}
