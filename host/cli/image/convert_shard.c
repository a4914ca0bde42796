/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/convert_shard.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <nettle/sha2.h>

#include "host/cli/reach.h"
#include "host/job/files/device_identity.h"

_Static_assert(JOINED_PARTS_MAX == JOB_INPUT_MAX, "each is an input");

static const char *join_problem(const struct convert_options *options, const struct command_job *job)
{
    const instar_ConvertRequest *request = &job->message.operation.convert;
    if (request->shard != 0) {
        return "--shard and --join are mutually exclusive";
    }
    if (options->target_format != NULL && strcmp(options->target_format, "qcow2") != 0) {
        return "--join makes a qcow2 image";
    }
    bool is_made_otherwise = request->compress || options->has_sparse_len || options->format_options.count > 0 ||
                             options->backing.file != NULL || options->backing.format != NULL;
    if (is_made_otherwise) {
        return "--join makes an image like its parts: -c, -S, -o, -B and -F are theirs";
    }
    if (options->is_in_place || options->has_snapshot || request->salvage || options->wants_bitmaps) {
        return "--join does not go together with -n, -l, --salvage and --bitmaps";
    }
    return NULL;
}

static const char *shard_problem(const struct convert_options *options, const struct command_job *job)
{
    const instar_ConvertRequest *request = &job->message.operation.convert;
    bool is_raw = options->target_format == NULL || strcmp(options->target_format, "raw") == 0;
    if (options->wants_bitmaps) {
        return "--shard does not go together with --bitmaps";
    }
    if (options->backing.file != NULL) {
        return "--shard does not go together with -B";
    }
    if (!is_raw && options->is_in_place) {
        return "--shard writes a part of a raw image that is there, or an image of its own: not with -n";
    }
    if (!is_raw && request->shard_count > JOINED_PARTS_MAX) {
        return "--shard: at most 128 parts can be joined";
    }
    return NULL;
}

bool convert_shard_check(const struct convert_options *options, struct command_job *job)
{
    const instar_ConvertRequest *request = &job->message.operation.convert;
    const char *problem = NULL;
    if (request->joins) {
        problem = join_problem(options, job);
    } else if (request->shard != 0) {
        problem = shard_problem(options, job);
    }
    return problem == NULL || error_set(&job->error, ERROR_USAGE, NULL, "%s", problem);
}

static void number_add(struct sha256_ctx *hash, uint64_t number)
{
    uint8_t bytes[8]; /* the same on hosts of any byte order */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(number >> 8 * i);
    }
    sha256_update(hash, sizeof(bytes), bytes);
}

static void bytes_add(struct sha256_ctx *hash, const uint8_t *bytes, size_t len)
{
    number_add(hash, len);
    sha256_update(hash, len, bytes);
}

static void window_add(struct sha256_ctx *hash, const struct image_window *window)
{
    number_add(hash, window->off);
    number_add(hash, window->has_len ? window->len : UINT64_MAX);
}

/* The guest adds the length, which a device has, too, and the format that was used. */
static bool file_add(struct sha256_ctx *hash, const struct image_name *name, struct error *error)
{
    struct stat status;
    if (!reach_stat(name->path, &status)) {
        return error_set(error, ERROR_IO, NULL, "Could not open '%.200s': %s", name->text, strerror(errno));
    }
    bool is_regular = S_ISREG(status.st_mode);
    number_add(hash, is_regular ? (uint64_t)status.st_size : UINT64_MAX);
    number_add(hash, is_regular ? (uint64_t)status.st_mtim.tv_sec : 0);
    number_add(hash, is_regular ? (uint64_t)status.st_mtim.tv_nsec : 0);
    if (S_ISBLK(status.st_mode)) {
        char identity[DEVICE_IDENTITY_LEN];
        device_identity_find(status.st_rdev, identity);
        bytes_add(hash, (const uint8_t *)identity, strlen(identity));
    }
    window_add(hash, &name->window);
    number_add(hash, name->layer_count);
    for (unsigned int i = 0; i < name->layer_count; i++) {
        window_add(hash, &name->layers[i].window);
        bytes_add(hash, (const uint8_t *)name->layers[i].format, strlen(name->layers[i].format));
    }
    return true;
}

bool convert_shard_take_source(struct command_job *job)
{
    instar_ConvertRequest *request = &job->message.operation.convert;
    const instar_SnapshotChoice *choice = &job->message.snapshot;
    struct sha256_ctx hash;
    sha256_init(&hash);
    unsigned int count = command_job_input_count(job);
    for (unsigned int i = 0; i < count; i++) {
        RETURN_IF_FAILED(file_add(&hash, command_job_input(job, i), &job->error));
    }
    number_add(&hash, request->salvage);
    if (job->message.has_snapshot) {
        bytes_add(&hash, choice->id.bytes, choice->id.size);
        bytes_add(&hash, choice->name.bytes, choice->name.size);
        bytes_add(&hash, choice->id_or_name.bytes, choice->id_or_name.size);
    }
    sha256_digest(&hash, sizeof(request->shard_source), request->shard_source);
    return true;
}
