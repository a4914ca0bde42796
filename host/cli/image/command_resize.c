/* SPDX-License-Identifier: Apache-2.0 */
/* `resize`: a disk of another size. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/job/new_extents.h"
#include "host/cli/image/values/key_values.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"

enum {
    OPTION_PREALLOCATION = IMAGE_OPTION_COMMAND_FIRST,
    OPTION_SHRINK,
};

static const struct option resize_options[] = {
    {"preallocation", required_argument, NULL, OPTION_PREALLOCATION},
    {"shrink", no_argument, NULL, OPTION_SHRINK},
    IMAGE_OPTIONS,
};

static const char resize_help[] = "Usage: instar resize [OPTION]... FILE [+|-]SIZE\n"
                                  "Give the disk of an image another size, or one that is larger or smaller by\n"
                                  "SIZE bytes; k, M, G, T, P, E are understood. The image is changed where it is.\n"
                                  "\n"
                                  "Options:\n"
                                  "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                  "                           looks like\n"
                                  "  --shrink                 the disk may become smaller; what is behind its new\n"
                                  "                           end is lost\n"
                                  "  --preallocation MODE     storage for what is added: off (default), metadata,\n"
                                  "                           falloc, full\n"
                                  "  -q                       do not say that it is done\n"
                                  "  -h                       show this text\n";

struct resize {
    struct command_job job;
    bool has_result;
};

static bool preallocation_take(struct command_job *job, const char *value)
{
    instar_ResizeRequest *request = &job->message.operation.resize;
    if (value[0] == '\0' || strlen(value) >= sizeof(request->preallocation)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Invalid preallocation mode '%.64s'", value);
    }
    text_copy(request->preallocation, sizeof(request->preallocation), value);
    return true;
}

static bool option_take(struct resize *resize, int code)
{
    struct command_job *job = &resize->job;
    switch (code) {
    case '?':
        return false;
    case OPTION_SHRINK:
        job->message.operation.resize.shrink = true;
        return true;
    case OPTION_PREALLOCATION:
        return preallocation_take(job, optarg);
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool size_take(struct resize *resize, const char *text)
{
    struct command_job *job = &resize->job;
    instar_ResizeRequest *request = &job->message.operation.resize;
    uint64_t len;
    bool has_sign = text[0] == '+' || text[0] == '-';
    RETURN_IF_FAILED(size_value_parse("size", text + (has_sign ? 1 : 0), &len, &job->error));
    if (len > INT64_MAX) {
        return error_set(&job->error, ERROR_USAGE, NULL, "New image size must be positive");
    }
    request->relative = has_sign;
    request->size = len;
    request->change = text[0] == '-' ? -(int64_t)len : (int64_t)len;
    return true;
}

/* The size is the last argument, before anything is taken for an option: it may begin with a minus. */
static bool arguments_take(struct resize *resize, int argc, char **argv)
{
    struct command_job *job = &resize->job;
    const char *size = argv[argc - 1];
    bool wants_help =
        argc == 2 && (strcmp(size, "-h") == 0 || strcmp(size, "--help") == 0 || strcmp(size, "--version") == 0);
    job->message.which_operation = instar_ImageJob_resize_tag;
    job->writes_source = true;
    if (argc < 3 && !wants_help) {
        return image_options_fail(&job->options, &job->error, "Not enough arguments");
    }
    argc -= wants_help ? 0 : 1;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:q", resize_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(resize, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    if (optind != argc - 1) {
        return image_options_fail(&job->options, &job->error, "Expecting image file name and size");
    }
    return size_take(resize, size) && command_job_add_source(job, argv[optind], job->options.format);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct resize *resize = context;
    if (message->which_kind != instar_GuestMessage_resize_tag || resize->has_result) {
        return command_job_unexpected(message, error);
    }
    resize->has_result = true;
    return true;
}

/* False, perhaps without an error, which the first job has told then. Sets *ret_is_refused when the guest did not want
 * to shrink a disk. */
static bool resize_run(struct resize *resize, bool *ret_is_refused)
{
    struct command_job *job = &resize->job;
    instar_ResizeRequest *request = &job->message.operation.resize;
    request->sync = job->options.machine.job.sync;
    if (new_extents_choose(job) && command_job_run(job, JOB_CONVERT, message_take, resize)) {
        if (!resize->has_result) {
            return error_set(&job->error, ERROR_GUEST, NULL, "the guest did not say that it is done");
        }
        if (!job->options.is_quiet) {
            printf("Image resized.\n");
        }
        return true;
    }
    *ret_is_refused = !request->shrink && job->error.reason == ERROR_REASON_SHRINK;
    return false;
}

int command_resize(int argc, char **argv)
{
    static struct resize resize;
    struct command_job *job = &resize.job;
    bool is_refused = false;
    bool has_failed = false;
    command_job_init(job);
    if (arguments_take(&resize, argc, argv) && !command_job_explain(job, resize_help)) {
        has_failed = !resize_run(&resize, &is_refused);
    }
    int exit_code = command_job_end(job, has_failed ? EXIT_ERROR : EXIT_OK, EXIT_ERROR);
    if (is_refused) {
        fprintf(
            stderr,
            "%s: warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing "
            "such an operation, make sure there is no important data there.\n",
            program_name());
    }
    return exit_code;
}
