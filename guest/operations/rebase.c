/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives an image another backing file. Its disk stays what it is: where the image has nothing of its own, and the old
 * and the new backing file differ, it gets what the old one has; only then it names the new one. Whenever the job ends,
 * the disk is the same, by the one name or by the other.
 */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image_read.h"
#include "guest/image/write/target.h"
#include "guest/operations/disk_pair.h"
#include "guest/operations/job/image_job.h"
#include "guest/operations/job/progress_report.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/operations/rebase_view.h"

/* Requests that may be under way: enough for a device that is slow to answer. */
#define WRITES_MAX 32u

/* What readers leave of the arena, besides reserve_len. */
#define ARENA_RESERVE_LEN (512ull << 10)

#define OLD 0u
#define NEW 1u

struct rebase;

struct rebase_write {
    struct target_write write;
    struct rebase_write *next_free;
    struct rebase *rebase;
    struct reader_part part; /* whose bytes are written */
};

struct rebase {
    struct image_job *job;
    const instar_RebaseRequest *request;
    struct image *image;
    struct image *backings[2]; /* OLD and NEW; NULL: none */
    struct target *target;
    struct rebase_view views[2];
    struct disk_pair pair;
    struct progress progress;
    uint64_t stream_end; /* before this the disk has what was written as a stream */
    uint32_t pending;    /* writes */
    struct rebase_write *free;
    struct rebase_write writes[WRITES_MAX];
};

static void write_done(struct target_write *target_write, const struct error *error)
{
    struct rebase_write *write = target_write->owner;
    struct rebase *rebase = write->rebase;
    (void)error; /* target.error has it */
    reader_release(rebase->pair.sides[OLD].reader, &write->part);
    rebase->pending--;
    write->next_free = rebase->free;
    rebase->free = write;
}

/* A request that works with the old side's part. Waits until there is one. */
static bool take_write(struct rebase *rebase, struct rebase_write **ret_write, struct error *error)
{
    const struct reader_part *part = &rebase->pair.sides[OLD].part;
    while (rebase->free == NULL) { /* ends: requests are done at some time */
        RETURN_IF_FAILED(io_wait(rebase->job->io, error));
    }
    struct rebase_write *write = rebase->free;
    rebase->free = write->next_free;
    rebase->pending++;
    write->write = (struct target_write){.done = write_done, .owner = write};
    write->part = *part;
    reader_keep(part);
    *ret_write = write;
    return true;
}

/* `len` bytes of the old side's part, from `off` of it on. */
static bool write_bytes(struct rebase *rebase, uint64_t off, uint64_t len, struct error *error)
{
    const struct reader_part *part = &rebase->pair.sides[OLD].part;
    while (len > 0) { /* ends: something is written in each round */
        struct rebase_write *write;
        uint64_t part_len;
        RETURN_IF_FAILED(take_write(rebase, &write, error));
        RETURN_IF_FAILED(rebase->target->operations->write(rebase->target, &write->write, part->voff + off,
                                                           part->data + off, len, &part_len, error));
        rebase->job->result.bytes_written += part_len;
        off += part_len;
        len -= part_len;
    }
    return true;
}

/*
 * The stream of the old side's that makes the whole cluster that `off` of what is next lies in, where the target takes
 * it: the image has nothing of that cluster then. It is sound, as the reader has expanded it.
 */
static bool find_stream(const struct rebase *rebase, uint64_t off, struct span *ret_stream)
{
    const struct disk_pair *pair = &rebase->pair;
    const struct reader_part *part = &pair->sides[OLD].part;
    const struct target *target = rebase->target;
    return target->takes_streams != STREAM_KIND_OTHER && part->kind == READER_BYTES &&
           slot_find_stream(part->slot, round_down(pair->voff + off, target->compress_len), target->compress_len,
                            target->takes_streams, ret_stream) &&
           ret_stream->len < target->compress_len;
}

/* That cluster, as it is compressed, also where the two sides are the same in it, and where they are not known yet. */
static bool write_stream(struct rebase *rebase, uint64_t off, struct span stream, struct error *error)
{
    struct target *target = rebase->target;
    uint64_t cluster_voff = round_down(rebase->pair.voff + off, target->compress_len);
    struct rebase_write *write;
    RETURN_IF_FAILED(take_write(rebase, &write, error));
    RETURN_IF_FAILED(target->operations->write_compressed(target, &write->write, cluster_voff, stream, error));
    rebase->job->result.bytes_written += target->compress_len;
    rebase->stream_end = cluster_voff + target->compress_len;
    return true;
}

/*
 * Looks at the next `len` bytes of both, whole sectors, and writes the first stretch that differs, in whole units where
 * they lie in it, or the first cluster that comes as a stream: *ret_len is how far that is done with.
 */
static bool rebase_stretch(struct rebase *rebase, uint64_t len, uint64_t *ret_len, struct error *error)
{
    const struct disk_pair *pair = &rebase->pair;
    uint64_t unit_len = rebase->target->unit_len;
    if (pair->voff < rebase->stream_end) {
        *ret_len = min_u64(len, rebase->stream_end - pair->voff);
        return true;
    }
    uint64_t off = disk_pair_difference(pair, 0, len);
    if (off == len) {
        *ret_len = len;
        return true;
    }
    struct span stream;
    if (find_stream(rebase, off, &stream)) {
        *ret_len = off;
        return write_stream(rebase, off, stream, error);
    }
    uint64_t start = max_u64(round_down(pair->voff + off, unit_len), pair->voff) - pair->voff;
    uint64_t end = start;
    while (end < len && off < end + unit_len) { /* ends: each round goes on to the next unit */
        end = min_u64(round_down(pair->voff + end, unit_len) + unit_len - pair->voff, len);
        off = end < len ? disk_pair_difference(pair, end, min_u64(end + unit_len, len)) : len;
        if (off == min_u64(end + unit_len, len) || find_stream(rebase, off, &stream)) {
            break;
        }
    }
    *ret_len = end;
    if (pair->sides[OLD].part.kind == READER_ZERO) {
        rebase->job->result.bytes_zero += end - start;
        return rebase->target->operations->zero(rebase->target, pair->voff + start, end - start, error);
    }
    return write_bytes(rebase, start, end - start, error);
}

/* Makes the image independent of what differs. */
static bool rebase_disk(struct rebase *rebase, struct error *error)
{
    struct disk_pair *pair = &rebase->pair;
    while (pair->voff < pair->end) {
        bool has_both;
        RETURN_IF_FAILED(target_check(rebase->target, error));
        RETURN_IF_FAILED(disk_pair_fill(pair, &has_both, error));
        if (has_both) {
            uint64_t len = disk_pair_len(pair);
            RETURN_IF_FAILED(rebase_stretch(rebase, len, &len, error));
            disk_pair_take(pair, len);
            progress_add(&rebase->progress, len);
            RETURN_IF_FAILED(io_poll(rebase->job->io, error));
        } else {
            RETURN_IF_FAILED(disk_pair_wait(pair, rebase->pending, error));
        }
        (void)progress_report(&rebase->progress);
    }
    RETURN_IF_FAILED(target_settle(rebase->target, error));
    rebase->job->result.bytes_read = disk_pair_bytes_read(pair);
    return true;
}

/* What the target may still need: to read what is around a part of a cluster, and to write the header. */
static uint64_t reserve_len(const struct rebase *rebase)
{
    return ARENA_RESERVE_LEN + image_read_memory_len(rebase->image);
}

static bool compare_and_write(struct rebase *rebase, struct error *error)
{
    struct image *image = rebase->image;
    struct image *images[2];
    for (uint32_t i = 0; i < WRITES_MAX; i++) {
        rebase->writes[i].rebase = rebase;
        rebase->writes[i].next_free = rebase->free;
        rebase->free = &rebase->writes[i];
    }
    for (uint32_t i = 0; i < 2; i++) {
        rebase_view_init(&rebase->views[i], image, rebase->backings, rebase->target->unit_len, i);
        images[i] = &rebase->views[i].image;
    }
    progress_init(&rebase->progress, image->virtual_len, SECTOR_LEN, rebase->job->message->progress_percent);
    struct disk_pair_setup setup = {
        .job = rebase->job,
        .images = images,
        .end = image->virtual_len,
        .reserve_len = reserve_len(rebase),
    };
    RETURN_IF_FAILED(disk_pair_make(&rebase->pair, &setup, error));
    return rebase_disk(rebase, error);
}

/* The image, and what the disk is to be compared of. */
static bool open_images(struct rebase *rebase, struct error *error)
{
    struct image_job *job = rebase->job;
    if (rebase->request->unsafe) {
        return image_job_open_alone(job, 0, IMAGE_TO_CHANGE, &rebase->image, error);
    }
    RETURN_IF_FAILED(image_job_open(job, 0, IMAGE_TO_CHANGE, &rebase->image, error));
    rebase->backings[OLD] = rebase->image->backing;
    return job->source_count < 2 || image_job_open(job, 1, IMAGE_TO_READ, &rebase->backings[NEW], error);
}

/* In qemu-img's order and words: without a place, it is the change of the name that has failed. */
static bool check_request(const struct rebase *rebase, const struct file_name *name, struct error *error)
{
    const char *format = rebase->request->backing_format;
    if (name->is_set && format[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "backing format must be specified");
    }
    const struct target_operations *table = rebase->target->operations;
    if (table->set_backing == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Operation not supported");
    }
    return table->can_set_backing == NULL ||
           table->can_set_backing(rebase->target, name, format, rebase->backings[NEW], error);
}

bool operation_rebase(struct image_job *job, struct error *error)
{
    static struct rebase rebase; /* large */
    const instar_RebaseRequest *request = &job->message->operation.rebase;
    struct file_name name;
    rebase = (struct rebase){.job = job, .request = request};
    if (!target_name_set(&name, request->backing_file.bytes, request->backing_file.size)) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid argument");
    }
    RETURN_IF_FAILED(open_images(&rebase, error));
    if (rebase.image->format->open_target == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Operation not supported");
    }
    RETURN_IF_FAILED(target_open_image(rebase.image, &rebase.target, error));
    RETURN_IF_FAILED(check_request(&rebase, &name, error));
    rebase.target->has_backing = rebase.target->has_backing || name.is_set; /* zeros must hide what it will have */
    if (!request->unsafe && !request->recompress) {
        target_begin_streams(rebase.target, rebase.backings[OLD], NULL);
    }
    if ((!request->unsafe && !compare_and_write(&rebase, error)) ||
        !rebase.target->operations->finish(rebase.target, false, error) ||
        !rebase.target->operations->set_backing(rebase.target, &name, request->backing_format, error)) {
        target_abandon(rebase.target);
        return false;
    }
    return true;
}
