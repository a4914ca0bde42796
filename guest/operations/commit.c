/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes what an image has into one that is behind it, its base, and then empties the image: its disk stays what it is,
 * also whenever the job ends. What lies between the two is written to the base as well, and stays.
 */
#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image_read.h"
#include "guest/image/write/target.h"
#include "guest/operations/convert/convert_pump.h"
#include "guest/operations/job/image_job.h"
#include "guest/operations/reader/disk_walk.h"

/* Plain data of this length is copied by a request of its own. */
#define PLAIN_LEN_MIN (256ull << 10)
/* What the reader leaves of the arena. */
#define ARENA_RESERVE_LEN (64ull << 10)

struct commit {
    struct image_job *job;
    const instar_CommitRequest *request;
    struct image *image;
    struct image *base;
    uint64_t base_len;           /* bytes of its disk before it grew */
    struct target *image_target; /* NULL: the image is not emptied */
    struct target *base_target;
    struct reader *reader;
    struct convert_target output;
    struct progress progress;
    struct rate_limit rate_limit;
};

/* The base is the image of the chain whose device is that of a source. */
static bool find_base(struct commit *commit, struct error *error)
{
    struct image_job *job = commit->job;
    uint32_t source = commit->request->base_source;
    if (commit->image->backing == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Image does not have a backing file");
    }
    commit->base = commit->image->backing;
    /* Ends: image_open_chain makes chains. */
    while (commit->base != NULL &&
           (source >= job->message->sources_count || commit->base->file != job->sources[source])) {
        commit->base = commit->base->backing;
    }
    return commit->base != NULL ||
           error_set_reason(error, ERROR_REASON_NOT_IN_CHAIN, ERROR_USAGE, NULL, "it is not in the backing chain");
}

/* Before anything is written, all that would make it fail later. */
static bool check_formats(const struct commit *commit, struct error *error)
{
    const struct image *base = commit->base;
    if (base->format->is_read_only || base->format->open_target == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, base->file->name,
                         "writing to images of format '%s' is not supported yet", base->format->name);
    }
    if (!commit->request->drop && commit->image->format->open_target == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, commit->image->file->name,
                         "images of format '%s' cannot be emptied yet: -d leaves it as it is",
                         commit->image->format->name);
    }
    return true;
}

/* It was opened as what is behind the image: with counts that are too low, what is written would go over its data. */
static bool repair_base(const struct commit *commit, struct error *error)
{
    if (!image_repair_dirty(commit->base, error)) {
        error_add_place(error, commit->base->file->name);
        return false;
    }
    return true;
}

/* The base gets as long as the image. */
static bool grow_base(struct commit *commit, struct error *error)
{
    struct image *base = commit->base;
    struct resize_plan plan = {.virtual_len = commit->image->virtual_len, .sync = true};
    commit->base_len = base->virtual_len;
    if (base->virtual_len >= plan.virtual_len) {
        return true;
    }
    if (base->format->resize == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, base->file->name, "the disk is too short, and cannot become longer");
    }
    if (!base->format->resize(base, &plan, error)) {
        error_add_place(error, base->file->name);
        return false;
    }
    base->virtual_len = plan.virtual_len;
    return true;
}

static bool open_targets(struct commit *commit, struct error *error)
{
    RETURN_IF_FAILED(repair_base(commit, error) && grow_base(commit, error));
    RETURN_IF_FAILED(target_open_image(commit->base, &commit->base_target, error));
    if (!commit->request->recompress) {
        target_begin_streams(commit->base_target, commit->image, commit->base);
    }
    return commit->request->drop || target_open_image(commit->image, &commit->image_target, error);
}

static bool make_output(struct commit *commit, struct error *error)
{
    struct image_job *job = commit->job;
    struct convert_target_setup setup = {
        .target = commit->base_target,
        .progress = &commit->progress,
        .arena = job->environment->arena,
        .vcpu_count = job->vcpu_count,
        .total_len = commit->image->virtual_len,
        .piece_len = rate_limit_piece_len(&commit->rate_limit),
    };
    return convert_target_init(&commit->output, &setup, error);
}

static bool make_reader(struct commit *commit, struct error *error)
{
    struct image_job *job = commit->job;
    struct arena *arena = job->environment->arena;
    uint64_t left = arena_left(arena, 1);
    uint64_t unit_len = commit->base_target->unit_len;
    /* The base still reads what is around a part of a cluster, perhaps a compressed one. */
    uint64_t reserve_len = ARENA_RESERVE_LEN + image_read_memory_len(commit->base);
    struct reader_setup setup = {
        .images = &commit->image,
        .image_count = 1,
        .io = job->io,
        .arena = arena,
        .vcpu_count = job->vcpu_count,
        .memory_len = left > reserve_len ? left - reserve_len : 0,
        /* More than what of neighbouring units is the base's own: nothing is copied within its file. */
        .plain_len_min = convert_target_plain_len(&commit->output, max_u64(PLAIN_LEN_MIN, 2 * unit_len)),
        .own_unit_len = unit_len,
        .own_base = commit->base,
    };
    RETURN_IF_FAILED(reader_make(&setup, &commit->reader, error));
    commit->output.reader = commit->reader;
    return true;
}

/*
 * What the base got besides reads as zeros, as behind its end; of an encrypted one that may have to be written, as the
 * file's zeros are none of the disk's.
 */
static bool zero_growth(struct commit *commit, struct error *error)
{
    uint64_t len = commit->base->virtual_len - commit->base_len;
    return len == 0 || commit->base->cipher == NULL ||
           commit->base_target->operations->zero(commit->base_target, commit->base_len, len, error);
}

static bool write_base(struct commit *commit, struct error *error)
{
    struct image *image = commit->image;
    RETURN_IF_FAILED(zero_growth(commit, error));
    reader_start(commit->reader, image);
    struct convert_pump pump = {
        .io = commit->job->io,
        .reader = commit->reader,
        .output = &commit->output,
        .progress = &commit->progress,
        .rate_limit = &commit->rate_limit,
        .end_voff = image->virtual_len,
    };
    RETURN_IF_FAILED(convert_pump_run(&pump, error));
    RETURN_IF_FAILED(convert_target_end(&commit->output, error));
    /* Before anything of the image goes. */
    return commit->base_target->operations->finish(commit->base_target, true, error);
}

static bool empty_image(struct commit *commit, struct error *error)
{
    struct target *target = commit->image_target;
    if (target == NULL || target->operations->make_empty == NULL) {
        return true;
    }
    return target->operations->make_empty(target, error) &&
           target->operations->finish(target, commit->request->sync, error);
}

static bool run(struct commit *commit, struct error *error)
{
    return open_targets(commit, error) && make_output(commit, error) && make_reader(commit, error) &&
           write_base(commit, error) && empty_image(commit, error);
}

bool operation_commit(struct image_job *job, struct error *error)
{
    static struct commit commit; /* large */
    commit = (struct commit){.job = job, .request = &job->message->operation.commit};
    RETURN_IF_FAILED(image_job_open(job, 0, IMAGE_TO_CHANGE, &commit.image, error));
    RETURN_IF_FAILED(find_base(&commit, error));
    RETURN_IF_FAILED(check_formats(&commit, error));
    progress_init(&commit.progress, commit.image->virtual_len, SECTOR_LEN, job->message->progress_percent);
    rate_limit_start(&commit.rate_limit, commit.request->rate_limit, job->ticks_khz);
    if (!run(&commit, error)) {
        target_abandon(commit.base_target);
        target_abandon(commit.image_target);
        return false;
    }
    job->result.bytes_read = reader_bytes_read(commit.reader);
    job->result.bytes_written = commit.output.bytes_written;
    job->result.bytes_zero = commit.output.bytes_zero;
    return true;
}
