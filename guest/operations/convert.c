/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts images to a new one, or to a file that is there: the disks of all sources, one after the other, each of them
 * whole sectors; or a part of one disk; or the parts that others have made of one. What is plain data in a source's
 * file is copied by the host where the target can have it so; everything else is read, decompressed, looked at and
 * written here.
 */
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "guest/operations/convert/convert_bitmaps.h"
#include "guest/operations/convert/convert_join.h"
#include "guest/operations/convert/convert_join_copy.h"
#include "guest/operations/convert/convert_pump.h"
#include "guest/operations/convert/convert_target.h"
#include "guest/operations/job/image_job.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/runtime/messages.h"

/*
 * Plain data of this length is copied by a request of its own; shorter pieces are read and written together with their
 * neighbours.
 */
#define PLAIN_LEN_MIN (256ull << 10)
/* What the reader leaves of the arena. */
#define ARENA_RESERVE_LEN (64ull << 10)

struct convert {
    struct image_job *job;
    const instar_ConvertRequest *request;
    struct image *images[IMAGE_JOB_SOURCES_MAX];
    uint32_t source_count; /* that are converted */
    struct image *backing; /* of the target, where it is looked at */
    /* What is read of each disk: all of it, or a part. */
    uint64_t start_voff[IMAGE_JOB_SOURCES_MAX];
    uint64_t end_voff[IMAGE_JOB_SOURCES_MAX];
    bool keeps_places;  /* it goes to where it is on its own disk; otherwise one follows the other */
    uint64_t total_len; /* bytes, of the target's disk */
    uint64_t done_len;  /* bytes of it that this job writes */
    bool compresses;
    uint32_t sparse_len; /* as ConvertRequest.sparse_len */
    struct shard shard;  /* that the target becomes, with request->shard */
    struct reader *reader;
    struct target *target;
    struct convert_target output;
    struct convert_join join; /* instead of reader and output, with request->joins */
    struct progress progress;
    struct rate_limit rate_limit;
};

static bool check_request(const struct convert *convert, struct error *error)
{
    const struct image_job *job = convert->job;
    const instar_ConvertRequest *request = convert->request;
    if ((job->target == NULL && !request->tells_len) || convert->source_count == 0) {
        return error_set(error, ERROR_USAGE, NULL, "a conversion needs a source and a target");
    }
    if (request->bitmaps && convert->source_count > 1) {
        return error_set(error, ERROR_USAGE, NULL, "Copying bitmaps only possible with single source");
    }
    if (request->backing_file.size > 0 && convert->source_count > 1) {
        return error_set(
            error, ERROR_USAGE, NULL,
            "Having a backing file for the target makes no sense when concatenating multiple input images");
    }
    if ((request->has_range || request->shard != 0) && convert->source_count > 1) {
        return error_set(error, ERROR_USAGE, NULL, "a part can be read of one image only");
    }
    return request->shard <= request->shard_count ||
           error_set(error, ERROR_USAGE, NULL, "there is no part %u of %u", request->shard, request->shard_count);
}

/* The part of the disk that is wanted; what lies behind its end is not there. */
static void choose_range(struct convert *convert, uint32_t source)
{
    const instar_ConvertRequest *request = convert->request;
    const struct image *image = convert->images[source];
    uint64_t disk_len = image->virtual_len;
    uint64_t *start = &convert->start_voff[source];
    uint64_t *end = &convert->end_voff[source];
    *end = disk_len;
    if (request->has_range) {
        *start = min_u64(request->range_start, disk_len);
        *end = *start + min_u64(request->range_length, disk_len - *start);
    } else if (request->shard != 0) {
        shard_range(request->shard, request->shard_count, disk_len, start, end);
    } else if (request->joins) {
        shard_range(image->shard->shard.number, image->shard->shard.count, disk_len, start, end);
    }
}

/* Adds what is read of a disk, in whole sectors, to what this job writes. */
static bool add_source(struct convert *convert, uint32_t source, struct error *error)
{
    uint64_t len;
    choose_range(convert, source);
    if (!checked_round_up(convert->end_voff[source] - convert->start_voff[source], SECTOR_LEN, &len) ||
        !checked_add(convert->done_len, len, &convert->done_len) || convert->done_len > INT64_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, convert->images[source]->file->name, "the disks are too large");
    }
    return true;
}

/*
 * By what parts of the same disk know each other: the host's digest, and what is known here only, the format that was
 * found and the length of the file, which may be a device's. Added to a digest, these cannot undo each other by chance.
 */
static void source_take(uint8_t source[SHARD_SOURCE_LEN], const uint8_t digest[SHARD_SOURCE_LEN],
                        const struct image *image)
{
    memcpy(source, digest, SHARD_SOURCE_LEN);
    const char *name = image->format->name;
    for (size_t i = 0; name[i] != '\0' && i + sizeof(uint64_t) < SHARD_SOURCE_LEN; i++) {
        source[i] ^= (uint8_t)name[i];
    }
    for (size_t i = 0; i < sizeof(uint64_t); i++) {
        source[SHARD_SOURCE_LEN - 1 - i] ^= (uint8_t)(image->file->len >> 8 * i);
    }
}

/* How it is made, and how long it is. */
static bool choose_target(struct convert *convert, struct error *error)
{
    const instar_ConvertRequest *request = convert->request;
    uint64_t disk_len = convert->images[0]->virtual_len;
    convert->keeps_places = request->shard != 0 || request->joins;
    convert->compresses = request->compress;
    convert->sparse_len = request->sparse_len;
    if (request->joins) {
        convert->compresses = convert->images[0]->shard->shard.is_compressed;
        convert->sparse_len = convert->images[0]->shard->shard.sparse_len;
    }
    convert->total_len = convert->done_len;
    if (convert->keeps_places &&
        (!checked_round_up(disk_len, SECTOR_LEN, &convert->total_len) || convert->total_len > INT64_MAX)) {
        return error_set(error, ERROR_UNSUPPORTED, convert->images[0]->file->name, "the disk is too large");
    }
    convert->shard = (struct shard){
        .number = request->shard,
        .count = request->shard_count,
        .sparse_len = convert->sparse_len,
        .is_compressed = convert->compresses,
    };
    source_take(convert->shard.source, request->shard_source, convert->images[0]);
    return true;
}

static bool open_sources(struct convert *convert, struct error *error)
{
    struct image_job *job = convert->job;
    job->opens_shards = convert->request->joins;
    for (uint32_t i = 0; i < convert->source_count; i++) {
        RETURN_IF_FAILED(image_job_open(job, i, IMAGE_TO_READ, &convert->images[i], error));
        if (convert->images[i]->is_part && convert->request->backing_file.size > 0) {
            return error_set(error, ERROR_UNSUPPORTED, job->sources[i]->name,
                             "leaving to a backing file what a part of a disk does not have is not supported");
        }
    }
    RETURN_IF_FAILED(!convert->request->joins || convert_join_sort(convert->images, convert->source_count, error));
    for (uint32_t i = 0; i < convert->source_count; i++) {
        RETURN_IF_FAILED(add_source(convert, i, error));
    }
    return choose_target(convert, error) &&
           (!convert->request->looks_at_backing ||
            image_job_open_alone(job, convert->source_count, IMAGE_TO_DESCRIBE, &convert->backing, error));
}

/* The user's options for the format, or those of the parts. What is said of the size is not: that is the sources'. */
static uint32_t take_options(const struct convert *convert, instar_FormatOption *options)
{
    const instar_ConvertRequest *request = convert->request;
    uint32_t count = 0;
    if (request->joins) {
        const struct image_shard *shard = convert->images[0]->shard;
        memcpy(options, shard->options, shard->option_count * sizeof(*options));
        return shard->option_count;
    }
    for (pb_size_t i = 0; i < request->options_count; i++) {
        if (strcmp(request->options[i].name, "size") != 0) {
            options[count++] = request->options[i];
        }
    }
    return count;
}

#define DEFLATE_WINDOW_LARGE 32768u

static enum target_window window_of(const instar_ConvertRequest *request)
{
    if (request->deflate_window == 0) {
        return TARGET_WINDOW_DEFAULT;
    }
    return request->deflate_window == DEFLATE_WINDOW_LARGE ? TARGET_WINDOW_LARGE : TARGET_WINDOW_SMALL;
}

static struct target_compression compression_wanted(const instar_ConvertRequest *request)
{
    return (struct target_compression){
        .level = request->has_compression_level ? request->compression_level : TARGET_LEVEL_DEFAULT,
        .window = window_of(request),
        .recompresses = request->recompress,
    };
}

/* An image that is there: only what is on its disk changes. */
static bool open_target(struct convert *convert, struct error *error)
{
    struct image_job *job = convert->job;
    const instar_ConvertRequest *request = convert->request;
    struct target_compression compression = compression_wanted(request);
    job->is_opening = true;
    if (request->target_source != 0) {
        struct image *image;
        RETURN_IF_FAILED(image_job_open(job, request->target_source - 1u, IMAGE_TO_CHANGE, &image, error));
        RETURN_IF_FAILED(target_open_image(image, &convert->target, error));
    } else {
        struct image_key key = image_job_key(job, request->target_key, request->target_key_format);
        RETURN_IF_FAILED(
            target_open(request->target_format, &key, job->environment, job->target, &convert->target, error));
    }
    job->is_opening = false;
    struct target *target = convert->target;
    target->marks_zeros = !request->target_is_zero; /* qemu-img writes them, too */
    if (request->compress && target->operations->begin_compression != NULL) {
        RETURN_IF_FAILED(target->operations->begin_compression(target, &compression, error));
    }
    if (convert->target->virtual_len < convert->total_len) {
        return error_set(error, ERROR_USAGE, NULL, "output file is smaller than input file");
    }
    return true;
}

static bool create_target(struct convert *convert, struct error *error)
{
    static instar_FormatOption options[ARRAY_COUNT(((instar_ConvertRequest *)NULL)->options)];
    const instar_ConvertRequest *request = convert->request;
    struct image_job *job = convert->job;
    if (request->target_exists) {
        job->target->is_resizable = false;
        job->target->reads_as_zero = request->target_is_zero;
        if (job->target->len < convert->total_len && round_up(job->target->len, SECTOR_LEN) < convert->total_len) {
            return error_set(error, ERROR_USAGE, NULL, "output file is smaller than input file");
        }
    }
    struct target_setup setup = {
        .environment = job->environment,
        .file = job->target,
        .further_files = job->further_targets,
        .further_file_count = job->further_target_count,
        .virtual_len = convert->total_len,
        .stores_zeros = convert->sparse_len == 0,
        .compresses = convert->compresses,
        .options = options,
        .option_count = take_options(convert, options),
        .backing_format = request->backing_format,
        .backing = convert->backing,
        .identity = &convert->job->message->identity,
        .compression = compression_wanted(request),
        .shard = request->shard != 0 && !request->target_exists ? &convert->shard : NULL,
    };
    size_t backing_len = request->target_exists ? 0 : request->backing_file.size; /* one that is there has its own */
    if (!target_name_set(&setup.backing_name, request->backing_file.bytes, backing_len) ||
        !target_name_set(&setup.data_name, request->data_file.bytes, request->data_file.size)) {
        return error_set(error, ERROR_USAGE, NULL, "the name of a file is longer than %u bytes", FILE_NAME_LEN_MAX);
    }
    return target_create(request->target_format, &setup, &convert->target, error);
}

static bool make_target(struct convert *convert, struct error *error)
{
    const instar_ConvertRequest *request = convert->request;
    if (request->target_exists && strcmp(request->target_format, "raw") != 0) {
        RETURN_IF_FAILED(open_target(convert, error));
    } else {
        RETURN_IF_FAILED(create_target(convert, error));
    }
    const struct target *target = convert->target;
    if (convert->compresses && target->compress_len == 0 && !target->has_compressed_kinds) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Compression not supported for this file format");
    }
    return true;
}

static bool make_output(struct convert *convert, struct error *error)
{
    struct convert_target_setup setup = {
        .target = convert->target,
        .progress = &convert->progress,
        .arena = convert->job->environment->arena,
        .vcpu_count = convert->job->vcpu_count,
        .total_len = convert->total_len,
        .sparse_len = convert->sparse_len,
        .piece_len = rate_limit_piece_len(&convert->rate_limit),
        .compresses = convert->target->compress_len > 0 && (convert->compresses || convert->target->compresses_always),
        .is_shifted = convert->start_voff[0] % SECTOR_LEN != 0,
    };
    return convert_target_init(&convert->output, &setup, error);
}

static bool make_reader(struct convert *convert, struct error *error)
{
    struct image_job *job = convert->job;
    struct arena *arena = job->environment->arena;
    uint64_t left = arena_left(arena, 1);
    struct reader_setup setup = {
        .images = convert->images,
        .image_count = convert->source_count,
        .io = job->io,
        .arena = arena,
        .vcpu_count = job->vcpu_count,
        .memory_len = left > ARENA_RESERVE_LEN ? left - ARENA_RESERVE_LEN : 0,
        /* What cannot be read has to be found out piece by piece. */
        .plain_len_min =
            convert->request->salvage ? UINT64_MAX : convert_target_plain_len(&convert->output, PLAIN_LEN_MIN),
        .salvage = convert->request->salvage,
        .own_unit_len = convert->request->backing_file.size > 0 ? convert->output.units.unit_len : 0,
    };
    RETURN_IF_FAILED(reader_make(&setup, &convert->reader, error));
    convert->output.reader = convert->reader;
    return true;
}

static bool convert_source(struct convert *convert, uint32_t source, struct error *error)
{
    struct convert_target *output = &convert->output;
    uint64_t start_voff = convert->start_voff[source];
    uint64_t end_voff = convert->end_voff[source];
    reader_start_part(convert->reader, convert->images[source], start_voff, end_voff);
    output->base_off -= convert->keeps_places ? 0 : start_voff;
    if (!convert->request->salvage) {
        reader_find_zeros(convert->reader, convert_target_zero_unit_bits(output));
    }
    struct convert_pump pump = {
        .io = convert->job->io,
        .reader = convert->reader,
        .output = output,
        .progress = &convert->progress,
        .rate_limit = &convert->rate_limit,
        .end_voff = end_voff,
    };
    RETURN_IF_FAILED(convert_pump_run(&pump, error));
    output->base_off += convert->keeps_places ? 0 : round_up(end_voff, SECTOR_LEN);
    return true;
}

static void tell_len(uint64_t len)
{
    static instar_GuestMessage message; /* large */
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_measure_tag};
    message.kind.measure.required = len;
    message.kind.measure.fully_allocated = len;
    messages_send(&message);
}

/* The sources' disks are read, and what they have is written. */
static bool convert_sources(struct convert *convert, struct error *error)
{
    RETURN_IF_FAILED(make_output(convert, error));
    RETURN_IF_FAILED(make_reader(convert, error));
    for (uint32_t i = 0; i < convert->source_count; i++) {
        RETURN_IF_FAILED(convert_source(convert, i, error));
    }
    RETURN_IF_FAILED(convert_target_end(&convert->output, error));
    convert->job->result.bytes_read = reader_bytes_read(convert->reader);
    convert->job->result.bytes_written = convert->output.bytes_written;
    convert->job->result.bytes_zero = convert->output.bytes_zero;
    return true;
}

/* The sources are parts, which are copied as they are. */
static bool join_sources(struct convert *convert, struct error *error)
{
    struct convert_join *join = &convert->join;
    join->target = convert->target;
    join->progress = &convert->progress;
    join->rate_limit = &convert->rate_limit;
    RETURN_IF_FAILED(convert_join_begin(join, error));
    for (uint32_t i = 0; i < convert->source_count; i++) {
        RETURN_IF_FAILED(
            convert_join_add(join, convert->images[i], convert->start_voff[i], convert->end_voff[i], error));
    }
    RETURN_IF_FAILED(convert_join_end(join, error));
    convert->job->result.bytes_written = join->bytes_written;
    convert->job->result.bytes_zero = join->bytes_zero;
    return true;
}

static bool write_target(struct convert *convert, struct error *error)
{
    const instar_ConvertRequest *request = convert->request;
    RETURN_IF_FAILED(!request->bitmaps ||
                     convert_bitmaps_begin(convert->images[0], convert->target, request->target_format, error));
    RETURN_IF_FAILED(request->joins ? join_sources(convert, error) : convert_sources(convert, error));
    RETURN_IF_FAILED(!request->bitmaps || convert_bitmaps_copy(convert->images[0], convert->target, error));
    return convert->target->operations->finish(convert->target, request->sync, error);
}

bool operation_convert(struct image_job *job, struct error *error)
{
    static struct convert convert;
    convert = (struct convert){.job = job, .request = &job->message->operation.convert};
    convert.source_count = job->source_count - (convert.request->looks_at_backing && job->source_count > 0 ? 1 : 0);
    RETURN_IF_FAILED(check_request(&convert, error));
    job->environment->salvages = convert.request->salvage;
    const instar_ConvertRequest *request = convert.request;
    RETURN_IF_FAILED(open_sources(&convert, error));
    if (request->tells_len) {
        tell_len(convert.total_len);
        return true;
    }
    RETURN_IF_FAILED(!request->bitmaps ||
                     convert_bitmaps_check(convert.images[0], request->skip_broken_bitmaps, error));
    progress_init(&convert.progress, convert.done_len, SECTOR_LEN, job->message->progress_percent);
    rate_limit_start(&convert.rate_limit, convert.request->rate_limit, job->ticks_khz);
    RETURN_IF_FAILED(make_target(&convert, error));
    if (!write_target(&convert, error)) {
        target_abandon(convert.target);
        return false;
    }
    return !request->joins || convert_join_check(job, request->target_format, error);
}
