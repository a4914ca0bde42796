/* SPDX-License-Identifier: Apache-2.0 */
/* `dd`: a part of an image, to a new one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/number_text.h"
#include "base/text.h"
#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/job/command_job_error.h"
#include "host/cli/image/target_formats.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"

#define BLOCK_LEN_DEFAULT 512u
#define SPARSE_LEN 4096u

static const struct option dd_options[] = {
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char dd_help[] = "Usage: instar dd [OPTION]... [bs=N] [count=N] [skip=N] if=FILE of=TARGET\n"
                              "Write a part of the disk image FILE to TARGET, a new image. It appears under\n"
                              "its name when it is complete.\n"
                              "\n"
                              "  bs=N                     bytes of a block (default 512); k, M, G, T, P, E are\n"
                              "                           understood\n"
                              "  count=N                  end before block N of FILE, as qemu-img: what is\n"
                              "                           skipped counts, too\n"
                              "  skip=N                   start at block N of FILE\n"
                              "\n"
                              "Options:\n"
                              "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                              "                           looks like\n"
                              "  -O FORMAT                the format of TARGET: raw (default), qcow2, vdi, vpc,\n"
                              "                           vhdx, qed, parallels, qcow, vmdk\n"
                              "  -U, --force-share        also when FILE is in use\n"
                              "  -h                       show this text\n";

struct dd {
    struct command_job job;
    const char *target_format; /* -O */
    const char *source_text;
    const char *target_text;
    struct image_name target;
    const struct target_format *format;
    uint64_t block_len;
    bool has_count;
    uint64_t count; /* blocks */
    uint64_t skip;  /* blocks */
};

static bool option_take(struct dd *dd, int code)
{
    struct command_job *job = &dd->job;
    switch (code) {
    case '?':
        return false;
    case 'O':
        dd->target_format = optarg;
        return true;
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool block_len_take(struct dd *dd, const char *value)
{
    struct error *error = &dd->job.error;
    bool is_too_large = size_read(value, &dd->block_len) == SIZE_TOO_LARGE || dd->block_len > INT64_MAX;
    RETURN_IF_FAILED(is_too_large || size_argument_parse("bs", value, &dd->block_len, error));
    return (!is_too_large && dd->block_len > 0 && dd->block_len <= INT32_MAX) ||
           error_set(error, ERROR_USAGE, NULL, "Invalid bs specified. Must be between 1 and %d.", INT32_MAX);
}

static bool operand_take(struct dd *dd, const char *operand)
{
    struct error *error = &dd->job.error;
    const char *equals = strchr(operand, '=');
    size_t name_len = equals != NULL ? (size_t)(equals - operand) : strlen(operand);
    const char *value = equals != NULL ? equals + 1 : "";
    if (equals != NULL && name_len == 2 && strncmp(operand, "if", 2) == 0) {
        dd->source_text = value;
        return true;
    } else if (equals != NULL && name_len == 2 && strncmp(operand, "of", 2) == 0) {
        dd->target_text = value;
        return true;
    } else if (equals != NULL && name_len == 2 && strncmp(operand, "bs", 2) == 0) {
        return block_len_take(dd, value);
    } else if (equals != NULL && name_len == 5 && strncmp(operand, "count", 5) == 0) {
        dd->has_count = true;
        return size_argument_parse("count", value, &dd->count, error);
    } else if (equals != NULL && name_len == 4 && strncmp(operand, "skip", 4) == 0) {
        return size_argument_parse("skip", value, &dd->skip, error);
    }
    return error_set(error, ERROR_USAGE, NULL, "unrecognized operand %.*s", (int)name_len, operand);
}

/* As qemu-img: the end is that of `count` blocks from the start of the image, whatever is skipped. */
static void range_set(const struct dd *dd, instar_ConvertRequest *request)
{
    uint64_t end;
    request->has_range = true;
    if (!checked_multiply(dd->skip, dd->block_len, &request->range_start)) {
        request->range_start = UINT64_MAX;
    }
    if (!dd->has_count || !checked_multiply(dd->count, dd->block_len, &end)) {
        end = UINT64_MAX;
    }
    request->range_length = end - min_u64(end, request->range_start);
}

static bool request_encode(struct dd *dd)
{
    struct command_job *job = &dd->job;
    instar_ConvertRequest *request = &job->message.operation.convert;
    if (dd->source_text == NULL || dd->target_text == NULL) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Must specify both input and output files");
    }
    RETURN_IF_FAILED(
        target_format_find(dd->target_format != NULL ? dd->target_format : "raw", &dd->format, &job->error) &&
        command_job_add_source(job, dd->source_text, job->options.format));
    if (!image_name_parse(&dd->target, dd->target_text, NULL, &job->error)) {
        error_add_place(&job->error, dd->target_text);
        return false;
    }
    RETURN_IF_FAILED(image_name_is_new(&dd->target, &job->error));
    text_copy(request->target_format, sizeof(request->target_format), dd->format->guest_name);
    request->target_device = command_job_input_count(job);
    request->sparse_len = SPARSE_LEN;
    range_set(dd, request);
    return true;
}

static bool arguments_take(struct dd *dd, int argc, char **argv)
{
    struct command_job *job = &dd->job;
    job->message.which_operation = instar_ImageJob_convert_tag;
    dd->block_len = BLOCK_LEN_DEFAULT;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:O:U", dd_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(dd, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    for (int i = optind; i < argc; i++) {
        RETURN_IF_FAILED(operand_take(dd, argv[i]));
    }
    return request_encode(dd);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return command_job_unexpected(message, error);
}

static void dd_run(struct dd *dd)
{
    struct command_job *job = &dd->job;
    struct job *machine_job = &job->options.machine.job;
    machine_job->output_kind = JOB_OUTPUT_NEW;
    machine_job->streams_output = target_format_is_raw(dd->format);
    machine_job->writes_alone = !target_format_is_raw(dd->format);
    machine_job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    machine_job->want_copies = true;
    machine_job->output.path = dd->target.path;
    machine_job->output.backend = job->options.machine.backend;
    job->message.operation.convert.sync = machine_job->sync;
    if (!command_job_run(job, JOB_CONVERT, message_take, dd)) {
        command_job_explain_target(job, dd->target_text, "error while creating output image");
        return;
    }
    const instar_CompleteMessage *complete = &job->result.complete;
    if (dd->skip > 0 && !(dd->has_count && dd->count == dd->skip) && complete->bytes_written == 0 &&
        complete->bytes_zero == 0) {
        struct error nothing = {0};
        error_fill(&nothing, ERROR_USAGE, dd->source_text, "cannot skip to specified offset");
        report_error(program_name(), &nothing);
    }
}

int command_dd(int argc, char **argv)
{
    static struct dd dd;
    struct command_job *job = &dd.job;
    command_job_init(job);
    if (arguments_take(&dd, argc, argv) && !command_job_explain(job, dd_help)) {
        dd_run(&dd);
    }
    int exit_code = command_job_end(job, EXIT_OK, EXIT_ERROR);
    image_name_release(&dd.target);
    return exit_code;
}
