/* SPDX-License-Identifier: Apache-2.0 */
/* `bench`: how fast an image is read or written. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/numbers.h"
#include "host/cli/reach.h"
#include "host/cli/report.h"

#define COUNT_DEFAULT 75000u
#define DEPTH_DEFAULT 64u
#define BUFFER_LEN_DEFAULT 4096u

enum {
    OPTION_FLUSH_INTERVAL = IMAGE_OPTION_COMMAND_FIRST,
    OPTION_NO_DRAIN,
    OPTION_PATTERN,
};

static const struct option bench_options[] = {
    {"flush-interval", required_argument, NULL, OPTION_FLUSH_INTERVAL},
    {"no-drain", no_argument, NULL, OPTION_NO_DRAIN},
    {"pattern", required_argument, NULL, OPTION_PATTERN},
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char bench_help[] = "Usage: instar bench [OPTION]... FILE\n"
                                 "Tell how long many requests to the disk image FILE take.\n"
                                 "\n"
                                 "Options:\n"
                                 "  -c N                     requests (default 75000)\n"
                                 "  -d N                     requests under way at once (default 64)\n"
                                 "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                 "                           looks like\n"
                                 "  -o N                     where to start, in bytes (default 0)\n"
                                 "  -s N                     bytes of a request (default 4k)\n"
                                 "  -S N                     bytes from the start of a request to that of the\n"
                                 "                           next one (default: as -s)\n"
                                 "  -w                       write; what is in the image is lost\n"
                                 "  --pattern N              with -w: the byte to write (default 0)\n"
                                 "  --flush-interval N       with -w: flush after each N requests\n"
                                 "  --no-drain               with that: go on while a flush is under way\n"
                                 "  -t MODE                  none and directsync: past the page cache\n"
                                 "  -i ENGINE, -n, -q        accepted\n"
                                 "  -U, --force-share        also when the image is in use\n"
                                 "  -h                       show this text\n";

struct bench {
    struct command_job job;
    struct cache_mode cache;
    bool wants_native; /* -n, -i native */
    instar_BenchMessage result;
    bool has_begun;
    bool has_result;
};

static bool number_take(struct command_job *job, const char *what, uint32_t max, uint32_t *ret_number)
{
    uint64_t number;
    if (!number_parse(optarg, &number) || number > max) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Invalid %s specified", what);
    }
    *ret_number = (uint32_t)number;
    return true;
}

/* A number of bytes of up to INT32_MAX. */
static bool length_take(struct command_job *job, const char *what, uint64_t *ret_len)
{
    RETURN_IF_FAILED(size_argument_parse(what, optarg, ret_len, &job->error));
    return *ret_len <= INT32_MAX || error_set(&job->error, ERROR_USAGE, NULL,
                                              "Invalid %s specified. Must be between 0 and %d.", what, INT32_MAX);
}

static bool engine_check(struct command_job *job)
{
    return strcmp(optarg, "threads") == 0 || strcmp(optarg, "native") == 0 || strcmp(optarg, "io_uring") == 0 ||
           error_set(&job->error, ERROR_USAGE, NULL, "Invalid aio option: %s", optarg);
}

/* The options that are about requests. */
static bool request_option_take(struct bench *bench, int code)
{
    struct command_job *job = &bench->job;
    instar_BenchRequest *request = &job->message.operation.bench;
    uint64_t len;
    switch (code) {
    case 'c':
        return number_take(job, "request count", INT32_MAX, &request->count);
    case 'd':
        return number_take(job, "queue depth", INT32_MAX, &request->depth);
    case 'o':
        return size_argument_parse("offset", optarg, &request->offset, &job->error);
    case 's':
        RETURN_IF_FAILED(length_take(job, "buffer size", &len));
        request->buffer_size = (uint32_t)len;
        return true;
    case 'S':
        return length_take(job, "step_size", &request->step_size);
    case OPTION_FLUSH_INTERVAL:
        return number_take(job, "flush interval", INT32_MAX, &request->flush_interval);
    case OPTION_PATTERN:
        return number_take(job, "pattern byte", UINT8_MAX, &request->pattern);
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool option_take(struct bench *bench, int code)
{
    struct command_job *job = &bench->job;
    switch (code) {
    case '?':
        return false;
    case 'i':
        bench->wants_native = bench->wants_native || strcmp(optarg, "native") == 0;
        return engine_check(job);
    case 'n':
        bench->wants_native = true;
        return true;
    case 't':
        job->options.source_cache = optarg;
        return cache_mode_parse(optarg, &bench->cache) ||
               error_set(&job->error, ERROR_USAGE, NULL, "Invalid cache mode");
    case 'w':
        job->message.operation.bench.write = true;
        return true;
    case OPTION_NO_DRAIN:
        job->message.operation.bench.no_drain = true;
        return true;
    default:
        return request_option_take(bench, code);
    }
}

static bool request_check(struct bench *bench, const char *name)
{
    struct command_job *job = &bench->job;
    instar_BenchRequest *request = &job->message.operation.bench;
    const char *problem = NULL;
    if (!request->write && request->flush_interval > 0) {
        problem = "--flush-interval is only available in write tests";
    } else if (request->flush_interval > 0 && request->flush_interval < request->depth) {
        problem = "Flush interval can't be smaller than depth";
    } else if (request->depth == 0) {
        problem = "Invalid queue depth specified"; /* qemu-img waits forever */
    }
    if (problem != NULL) {
        return error_set(&job->error, ERROR_USAGE, NULL, "%s", problem);
    }
    if (request->write && job->options.force_share) {
        return error_set(&job->error, ERROR_USAGE, NULL,
                         "Could not open '%.100s': force-share=on can only be used with read-only images", name);
    }
    if (bench->wants_native && !bench->cache.is_direct && reach_access(name, F_OK)) {
        return error_set(
            &job->error, ERROR_USAGE, NULL,
            "Could not open '%.100s': aio=native was specified, but it requires cache.direct=on, which was "
            "not specified.",
            name);
    }
    request->step_size = request->step_size > 0 ? request->step_size : request->buffer_size;
    return true;
}

static bool arguments_take(struct bench *bench, int argc, char **argv)
{
    struct command_job *job = &bench->job;
    instar_BenchRequest *request = &job->message.operation.bench;
    static const char letters[] = ":hc:d:f:ni:o:qs:S:t:wU";
    job->message.which_operation = instar_ImageJob_bench_tag;
    request->count = COUNT_DEFAULT;
    request->depth = DEPTH_DEFAULT;
    request->buffer_size = BUFFER_LEN_DEFAULT;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, letters, bench_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(bench, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    if (optind != argc - 1) {
        return image_options_fail(&job->options, &job->error, "Expecting one image file name");
    }
    job->writes_source = request->write;
    return request_check(bench, argv[optind]) && command_job_add_source(job, argv[optind], job->options.format);
}

/* As qemu-img's: a terminal shows it at the start, and elsewhere it follows what is told of errors. */
static void requests_print(struct command_job *job)
{
    const instar_BenchRequest *request = &job->message.operation.bench;
    char text[256];
    char flushes[64] = "";
    if (request->flush_interval > 0) {
        snprintf(flushes, sizeof(flushes), "Sending flush every %" PRIu32 " requests\n", request->flush_interval);
    }
    snprintf(text, sizeof(text),
             "Sending %" PRIu32 " %s requests, %" PRIu32 " bytes each, %" PRIu32
             " in parallel (starting at offset %" PRIu64 ", step size %" PRIu64 ")\n%s",
             request->count, request->write ? "write" : "read", request->buffer_size, request->depth, request->offset,
             request->step_size, flushes);
    if (isatty(STDOUT_FILENO)) {
        console_print(&job->output, "%s", text);
    } else {
        fputs(text, stdout);
    }
}

/* At its start and at its end. */
static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct bench *bench = context;
    if (message->which_kind != instar_GuestMessage_bench_tag || message->kind.bench.is_over != bench->has_begun ||
        bench->has_result) {
        return command_job_unexpected(message, error);
    }
    if (bench->has_begun) {
        bench->has_result = true;
        bench->result = message->kind.bench;
    } else {
        bench->has_begun = true;
        requests_print(&bench->job);
    }
    return true;
}

static void bench_run(struct bench *bench)
{
    struct command_job *job = &bench->job;
    job->writes_directly = bench->cache.is_direct;
    job->options.machine.job.sync = job->options.machine.job.sync || (bench->cache.is_synced && job->writes_source);
    if (!command_job_run(job, JOB_CONVERT, message_take, bench)) {
        return;
    }
    if (!bench->has_result) {
        error_fill(&job->error, ERROR_GUEST, NULL, "the guest did not measure");
        return;
    }
    printf("Run completed in %3.3f seconds.\n", (double)bench->result.nanoseconds / 1e9);
}

int command_bench(int argc, char **argv)
{
    static struct bench bench;
    struct command_job *job = &bench.job;
    command_job_init(job);
    if (arguments_take(&bench, argc, argv) && !command_job_explain(job, bench_help)) {
        bench_run(&bench);
    }
    return command_job_end(job, EXIT_OK, EXIT_ERROR);
}
