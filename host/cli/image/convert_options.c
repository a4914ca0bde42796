/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/convert_options.h"

#include <string.h>

#include "host/batch/manifest_shard.h"
#include "host/cli/image/convert_shard.h"
#include "host/cli/image/format_options.h"
#include "host/cli/numbers.h"

/* -S without -S: runs of zeros of this length are left out. */
#define SPARSE_LEN_DEFAULT 4096u
#define SPARSE_LEN_MAX (16u << 20)
#define SPARSE_LEN_UNIT 512u
#define COROUTINES_MAX 16u
/* Of any method, and more than one has. */
#define LEVEL_MAX 1000000u
/* What Deflate has (RFC 1951), and what QEMU's own images keep to. */
#define WINDOW_LEN_SMALL 4096u
#define WINDOW_LEN_LARGE 32768u

enum {
    OPTION_TARGET_IMAGE_OPTS = IMAGE_OPTION_COMMAND_FIRST,
    OPTION_TARGET_IS_ZERO,
    OPTION_SALVAGE,
    OPTION_BITMAPS,
    OPTION_SKIP_BROKEN_BITMAPS,
    OPTION_COMPRESSION_LEVEL,
    OPTION_DEFLATE_WINDOW,
    OPTION_RECOMPRESS,
    OPTION_SHARD,
    OPTION_JOIN,
};

static const struct option convert_options[] = {
    {"force-share", no_argument, NULL, 'U'},
    {"target-image-opts", no_argument, NULL, OPTION_TARGET_IMAGE_OPTS},
    {"target-is-zero", no_argument, NULL, OPTION_TARGET_IS_ZERO},
    {"salvage", no_argument, NULL, OPTION_SALVAGE},
    {"bitmaps", no_argument, NULL, OPTION_BITMAPS},
    {"skip-broken-bitmaps", no_argument, NULL, OPTION_SKIP_BROKEN_BITMAPS},
    {"compression-level", required_argument, NULL, OPTION_COMPRESSION_LEVEL},
    {"deflate-window", required_argument, NULL, OPTION_DEFLATE_WINDOW},
    {"recompress", no_argument, NULL, OPTION_RECOMPRESS},
    {"shard", required_argument, NULL, OPTION_SHARD},
    {"join", no_argument, NULL, OPTION_JOIN},
    IMAGE_OPTIONS,
};

const char convert_help[] = "Usage: instar convert [OPTION]... FILE... TARGET\n"
                            "Write the content of disk images, one after the other, to TARGET, a file or a\n"
                            "block device. A file appears under its name when it is complete.\n"
                            "\n"
                            "Options:\n"
                            "  -f FORMAT                FILEs are of this format, instead of the one that\n"
                            "                           they look like\n"
                            "  -O FORMAT                the format of TARGET: raw (default), qcow2, vdi, vpc,\n"
                            "                           vhdx, qed, parallels, qcow, vmdk, luks\n"
                            "  -o OPTION=VALUE,...      options of that format; repeatable; -o help lists\n"
                            "                           them\n"
                            "  -c                       compress\n"
                            "  --compression-level N    less or more of it: 0 to 12 for zlib, -7 to 22 for\n"
                            "                           zstd\n"
                            "  --deflate-window 32k     zlib: for readers that have a window of 32 KiB\n"
                            "                           (default 4k)\n"
                            "  --recompress             compress anew what FILE has compressed in the same\n"
                            "                           way, too, instead of taking it as it is\n"
                            "  -B FILE                  TARGET's backing file, which has the same content as\n"
                            "                           what is behind FILE\n"
                            "  -F FORMAT                the format of the backing file\n"
                            "  -l SNAPSHOT              read this internal snapshot: a name, or\n"
                            "                           snapshot.id=ID,snapshot.name=NAME\n"
                            "  --bitmaps                give TARGET the persistent bitmaps of FILE\n"
                            "  --skip-broken-bitmaps    but for those that are inconsistent\n"
                            "  -S N                     leave out runs of N zero bytes and more (default\n"
                            "                           4k); 0: write everything\n"
                            "  -n                       write to a TARGET that is there, and keeps its\n"
                            "                           length\n"
                            "  --target-is-zero         with -n: TARGET reads as zeros\n"
                            "  --target-image-opts      with -n: TARGET is driver=raw,file.filename=PATH\n"
                            "                           instead of a path\n"
                            "  --shard I/N              only the I-th of N parts of FILE's disk: into a raw\n"
                            "                           TARGET that is there, or as an image to be joined\n"
                            "  --join                   FILEs are all parts of a qcow2 image, in any order\n"
                            "  --salvage                what cannot be read becomes zeros\n"
                            "  -p                       show the percentage on standard output\n"
                            "  -q                       accepted\n"
                            "  -t MODE                  how to write: none and directsync past the page\n"
                            "                           cache, directsync and writethrough to stable storage\n"
                            "                           before the end\n"
                            "  -T MODE                  how to read: none and directsync past the page cache\n"
                            "  -r RATE                  bytes per second at most; k, M, G are understood\n"
                            "  -m N, -W, -C             accepted: as many requests are under way as helps,\n"
                            "                           in any order, and data is copied by the kernel where\n"
                            "                           it can\n"
                            "  -U, --force-share        also when the images are in use\n"
                            "  -h                       show this text\n";

static bool sparse_len_take(struct convert_options *options, struct command_job *job, const char *value)
{
    uint64_t len;
    RETURN_IF_FAILED(size_argument_parse("buffer size for sparse output", value, &len, &job->error));
    if (len % SPARSE_LEN_UNIT != 0 || len > SPARSE_LEN_MAX) {
        return error_set(&job->error, ERROR_USAGE, NULL,
                         "Invalid buffer size for sparse output specified. Valid sizes are multiples of %u up to %u. "
                         "Select 0 to disable sparse detection (fully allocates output).",
                         SPARSE_LEN_UNIT, SPARSE_LEN_MAX);
    }
    options->has_sparse_len = true;
    job->message.operation.convert.sparse_len = (uint32_t)len;
    return true;
}

static bool snapshot_take(struct convert_options *options, struct command_job *job, const char *value)
{
    options->has_snapshot = true;
    job->message.has_snapshot = true;
    return snapshot_choice_parse(value, &job->message.snapshot, &job->error);
}

static bool coroutines_check(struct command_job *job, const char *value)
{
    uint64_t count;
    return (number_parse(value, &count) && count >= 1 && count <= COROUTINES_MAX) ||
           error_set(&job->error, ERROR_USAGE, NULL,
                     "Invalid number of coroutines. Allowed number of coroutines is between 1 and %u", COROUTINES_MAX);
}

/* A number that may be negative: zstd has such levels. Which ones a method has, the guest knows. */
static bool level_take(struct command_job *job, const char *value)
{
    bool is_negative = value[0] == '-';
    uint64_t number;
    if (!number_parse(value + (is_negative ? 1 : 0), &number) || number > LEVEL_MAX) {
        return error_set(&job->error, ERROR_USAGE, "--compression-level", "%s is not a level", value);
    }
    job->message.operation.convert.compression_level = is_negative ? -(int32_t)number : (int32_t)number;
    return true;
}

static bool window_take(struct convert_options *options, struct command_job *job, const char *value)
{
    uint64_t len;
    if (!size_parse(value, &len) || (len != WINDOW_LEN_SMALL && len != WINDOW_LEN_LARGE)) {
        return error_set(&job->error, ERROR_USAGE, "--deflate-window", "%s is not one of 4k, 32k", value);
    }
    options->has_window = true;
    job->message.operation.convert.deflate_window = (uint32_t)len;
    return true;
}

static bool shard_take(struct command_job *job, const char *value)
{
    struct shard shard;
    RETURN_IF_FAILED(shard_parse(value, "--shard", &shard, &job->error));
    job->message.operation.convert.shard = shard.number;
    job->message.operation.convert.shard_count = shard.count;
    return true;
}

/* Options without a value. False: it is another one. */
static bool flag_take(struct convert_options *options, struct command_job *job, int code)
{
    instar_ConvertRequest *request = &job->message.operation.convert;
    switch (code) {
    case 'c':
        request->compress = true;
        return true;
    case 'C':
        options->wants_offload = true;
        return true;
    case 'n':
        options->is_in_place = true;
        request->target_exists = true;
        return true;
    case 'W':
        return true;
    case OPTION_JOIN:
        request->joins = true;
        job->has_alike_sources = true;
        return true;
    case OPTION_TARGET_IMAGE_OPTS:
        options->uses_target_opts = true;
        return true;
    case OPTION_TARGET_IS_ZERO:
        request->target_is_zero = true;
        return true;
    case OPTION_SALVAGE:
        request->salvage = true;
        return true;
    case OPTION_BITMAPS:
        options->wants_bitmaps = true;
        request->bitmaps = true;
        return true;
    case OPTION_SKIP_BROKEN_BITMAPS:
        options->skips_broken_bitmaps = true;
        request->skip_broken_bitmaps = true;
        return true;
    default:
        return false;
    }
}

static bool option_take(struct convert_options *options, struct command_job *job, int code, const char *value)
{
    instar_ConvertRequest *request = &job->message.operation.convert;
    if (flag_take(options, job, code)) {
        return true;
    }
    switch (code) {
    case '?':
        return false;
    case 'O':
        options->target_format = value;
        return true;
    case 'B':
        options->backing.file = value;
        return true;
    case 'F':
        options->backing.format = value;
        return true;
    case 'o':
        return format_options_take(&options->format_options, value, &job->error);
    case 'l':
        return snapshot_take(options, job, value);
    case OPTION_COMPRESSION_LEVEL:
        request->has_compression_level = true;
        return level_take(job, value);
    case OPTION_DEFLATE_WINDOW:
        return window_take(options, job, value);
    case OPTION_RECOMPRESS:
        request->recompress = true;
        return true;
    case OPTION_SHARD:
        return shard_take(job, value);
    case 'S':
        return sparse_len_take(options, job, value);
    case 'm':
        return coroutines_check(job, value);
    case 'r':
        return size_argument_parse("rate limit", value, &request->rate_limit, &job->error);
    case 't':
        return cache_mode_parse(value, &options->target_cache) ||
               error_set(&job->error, ERROR_USAGE, NULL, "Invalid cache option: %s", value);
    default:
        return image_options_take(&job->options, code, value, &job->error);
    }
}

/* A part of a raw image goes to one that is there, and parts that are joined become what they are parts of. */
static void shard_complete(struct convert_options *options, struct command_job *job)
{
    instar_ConvertRequest *request = &job->message.operation.convert;
    bool is_raw = options->target_format == NULL || strcmp(options->target_format, "raw") == 0;
    if (request->shard != 0 && is_raw) {
        options->is_in_place = true;
        request->target_exists = true;
    }
    if (request->joins && options->target_format == NULL) {
        options->target_format = "qcow2";
    }
}

/* What cannot be together, or is not there yet. */
static bool options_check(const struct convert_options *options, struct command_job *job)
{
    const instar_ConvertRequest *request = &job->message.operation.convert;
    const char *problem = NULL;
    if (options->wants_offload && request->compress) {
        problem = "Cannot enable copy offloading when -c is used";
    } else if (options->wants_offload && options->has_sparse_len) {
        problem = "Cannot enable copy offloading when -S is used";
    } else if (options->wants_offload && request->salvage) {
        problem = "Cannot use copy offloading in salvaging mode";
    } else if (options->uses_target_opts && !options->is_in_place) {
        problem = "--target-image-opts requires use of -n flag";
    } else if (options->uses_target_opts && options->target_format != NULL) {
        problem = "--target-image-opts and -O are mutually exclusive";
    } else if (request->target_is_zero && !options->is_in_place) {
        problem = "--target-is-zero requires use of -n flag";
    } else if (options->skips_broken_bitmaps && !options->wants_bitmaps) {
        problem = "Use of --skip-broken-bitmaps requires --bitmaps";
    } else if (options->is_in_place && options->format_options.count > 0) {
        problem = "-o has no effect when skipping image creation";
    } else if (!request->compress && request->recompress) {
        problem = "--recompress requires use of -c flag";
    } else if (!request->compress && (request->has_compression_level || options->has_window)) {
        problem = "--compression-level and --deflate-window require use of -c flag";
    }
    return (problem == NULL || error_set(&job->error, ERROR_USAGE, NULL, "%s", problem)) &&
           convert_shard_check(options, job);
}

bool convert_options_take(struct convert_options *options, struct command_job *job, int argc, char **argv)
{
    static const char letters[] = ":hf:O:B:CcF:o:l:S:pt:T:qnm:WUr:";
    job->message.which_operation = instar_ImageJob_convert_tag;
    job->message.operation.convert.sparse_len = SPARSE_LEN_DEFAULT;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, letters, convert_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(options, job, code, optarg));
    }
    shard_complete(options, job);
    return job->options.machine.want_help || job->options.machine.want_version ||
           (options_check(options, job) && image_options_check(&job->options, &job->error));
}
