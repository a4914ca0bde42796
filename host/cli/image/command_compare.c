/* SPDX-License-Identifier: Apache-2.0 */
/* `compare`: whether two images have the same content. */
#include <inttypes.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/report.h"
#include "host/cli/time_limit.h"

#define EXIT_DIFFERENT 1
/* Of errors. Wrong options end with EXIT_ERROR, as in qemu-img. */
#define EXIT_TROUBLE 2

/* A second vCPU decompresses while the first one compares. */
#define VCPU_COUNT 2u

static const struct option compare_options[] = {
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char compare_help[] = "Usage: instar compare [OPTION]... FILE1 FILE2\n"
                                   "Compare the content of two disk images. The exit status is 0 if it is the same,\n"
                                   "1 if it differs, 2 for errors.\n"
                                   "\n"
                                   "Options:\n"
                                   "  -f FORMAT                FILE1 is of this format, instead of the one that it\n"
                                   "                           looks like\n"
                                   "  -F FORMAT                FILE2 likewise\n"
                                   "  -s                       strict: sizes and what is allocated must be the\n"
                                   "                           same, too\n"
                                   "  -p                       show the percentage on standard output\n"
                                   "  -q                       print no result\n"
                                   "  -T MODE                  how to read: none and directsync past the page cache\n"
                                   "  -U, --force-share        also when the images are in use\n"
                                   "  -h                       show this text\n";

struct compare {
    struct command_job job;
    const char *second_format;
    instar_CompareMessage result;
};

static bool option_take(struct compare *compare, int code)
{
    struct command_job *job = &compare->job;
    switch (code) {
    case '?':
        return false;
    case 'F':
        compare->second_format = optarg;
        return true;
    case 's':
        job->message.operation.compare.strict = true;
        return true;
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool arguments_take(struct compare *compare, int argc, char **argv)
{
    struct command_job *job = &compare->job;
    job->message.which_operation = instar_ImageJob_compare_tag;
    job->progress_waits = true;
    job->answers_progress = true;
    job->options.machine.job.vcpu_count = VCPU_COUNT;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:F:T:pqsU", compare_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(compare, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    if (argc - optind != 2) {
        return image_options_fail(&job->options, &job->error, "Expecting two image file names");
    }
    if (job->options.use_image_opts && compare->second_format != NULL) {
        return error_set(&job->error, ERROR_USAGE, NULL, IMAGE_OPTS_CONFLICT);
    }
    RETURN_IF_FAILED(image_options_check(&job->options, &job->error));
    return command_job_add_source(job, argv[optind], job->options.format) &&
           command_job_add_source(job, argv[optind + 1], compare->second_format);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct compare *compare = context;
    if (message->which_kind != instar_GuestMessage_compare_tag ||
        compare->result.verdict != instar_CompareVerdict_COMPARE_NONE) {
        return command_job_unexpected(message, error);
    }
    compare->result = message->kind.compare;
    return true;
}

static void verdict_print(struct compare *compare)
{
    const instar_CompareMessage *result = &compare->result;
    struct console *console = &compare->job.output;
    if (result->sizes_differ && result->verdict != instar_CompareVerdict_COMPARE_SIZE) {
        console_print(console, "Warning: Image size mismatch!\n");
    }
    switch (result->verdict) {
    case instar_CompareVerdict_COMPARE_IDENTICAL:
        console_print(console, "Images are identical.\n");
        break;
    case instar_CompareVerdict_COMPARE_CONTENT:
        console_print(console, "Content mismatch at offset %" PRIu64 "!\n", result->offset);
        break;
    case instar_CompareVerdict_COMPARE_ALLOCATION:
        console_print(console, "Strict mode: Offset %" PRIu64 " block status mismatch!\n", result->offset);
        break;
    case instar_CompareVerdict_COMPARE_SIZE:
        console_print(console, "Strict mode: Image size mismatch!\n");
        break;
    case instar_CompareVerdict_COMPARE_NONE:
    default:
        break;
    }
}

/* Returns the exit code, which does not count when there is an error. */
static int result_print(struct compare *compare, struct error *error)
{
    const instar_CompareVerdict verdict = compare->result.verdict;
    if (verdict < instar_CompareVerdict_COMPARE_IDENTICAL || verdict > instar_CompareVerdict_COMPARE_SIZE) {
        error_fill(error, ERROR_GUEST, NULL, "the guest did not tell of the images");
        return EXIT_TROUBLE;
    }
    bool is_identical = verdict == instar_CompareVerdict_COMPARE_IDENTICAL;
    if (is_identical) {
        command_job_show_progress(&compare->job, 100);
    }
    if (!compare->job.options.is_quiet) {
        verdict_print(compare);
    }
    return is_identical ? EXIT_OK : EXIT_DIFFERENT;
}

int command_compare(int argc, char **argv)
{
    static struct compare compare;
    struct command_job *job = &compare.job;
    int exit_code = EXIT_OK;
    command_job_init(job);
    time_limit_fail_with(EXIT_TROUBLE);
    if (arguments_take(&compare, argc, argv) && !command_job_explain(job, compare_help)) {
        if (command_job_run(job, JOB_INSPECT, message_take, &compare)) {
            exit_code = result_print(&compare, &job->error);
        }
        command_job_end_progress(job);
    }
    return command_job_end(job, exit_code, job->options.show_hint ? EXIT_ERROR : EXIT_TROUBLE);
}
