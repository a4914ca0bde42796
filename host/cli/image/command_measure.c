/* SPDX-License-Identifier: Apache-2.0 */
/* `measure`: how long a file an image would become in another format. */
#include <inttypes.h>
#include <stdio.h>

#include "host/cli/command.h"
#include "host/cli/image/format_options.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/values/value_print.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"

enum {
    OPTION_SIZE = IMAGE_OPTION_COMMAND_FIRST,
};

static const struct option measure_options[] = {
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char measure_help[] = "Usage: instar measure [OPTION]... FILE\n"
                                   "   or: instar measure [OPTION]... --size N\n"
                                   "Tell how long a file the disk image FILE, or an empty disk of N bytes, would be\n"
                                   "in another format.\n"
                                   "\n"
                                   "Options:\n"
                                   "  -O FORMAT                the format to measure for (default raw)\n"
                                   "  -o OPTION=VALUE,...      options of that format; repeatable\n"
                                   "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                   "                           looks like\n"
                                   "  -l SNAPSHOT              of this internal snapshot of FILE: a name, or\n"
                                   "                           snapshot.id=ID,snapshot.name=NAME\n"
                                   "  --size N                 bytes; k, M, G, T, P, E are understood\n"
                                   "  --output human|json      print text (default) or JSON\n"
                                   "  -U, --force-share        also when the image is in use\n"
                                   "  -h                       show this text\n";

struct measure {
    struct command_job job;
    struct key_values options;
    const char *target_format;
    bool has_snapshot;
    instar_MeasureMessage result;
    bool has_result;
};

static bool snapshot_take(struct measure *measure)
{
    struct command_job *job = &measure->job;
    measure->has_snapshot = true;
    job->message.has_snapshot = true;
    return snapshot_choice_parse(optarg, &job->message.snapshot, &job->error);
}

static bool option_take(struct measure *measure, int code)
{
    struct command_job *job = &measure->job;
    instar_MeasureRequest *request = &job->message.operation.measure;
    switch (code) {
    case '?':
        return false;
    case 'O':
        measure->target_format = optarg;
        return true;
    case 'o':
        return format_options_take(&measure->options, optarg, &job->error);
    case 'l':
        return snapshot_take(measure);
    case OPTION_SIZE:
        request->has_size = true;
        return size_argument_parse("image size", optarg, &request->size, &job->error);
    case OPTION_OUTPUT: /* here, qemu-img does not wait for what else is wrong */
        job->options.output = optarg;
        return image_options_check(&job->options, &job->error);
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

/* What there must be, and may be, besides options. */
static bool source_take(struct measure *measure, int argc, char **argv)
{
    struct command_job *job = &measure->job;
    const struct image_options *options = &job->options;
    bool has_size = job->message.operation.measure.has_size;
    const char *problem = NULL;
    if (argc - optind > 1) {
        problem = "At most one filename argument is allowed.";
    } else if (argc == optind && (options->use_image_opts || options->format != NULL || measure->has_snapshot)) {
        problem = "--image-opts, -f, and -l require a filename argument.";
    } else if (argc == optind && !has_size) {
        problem = "Either --size N or one filename must be specified.";
    } else if (argc > optind && has_size) {
        problem = "--size N cannot be used together with a filename.";
    }
    if (problem != NULL) {
        return error_set(&job->error, ERROR_USAGE, NULL, "%s", problem);
    }
    return argc == optind || command_job_add_source(job, argv[optind], options->format);
}

static bool target_take(struct measure *measure)
{
    struct command_job *job = &measure->job;
    instar_MeasureRequest *request = &job->message.operation.measure;
    int len = snprintf(request->target_format, sizeof(request->target_format), "%s", measure->target_format);
    if (len < 0 || (size_t)len >= sizeof(request->target_format)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Unknown file format '%s'", measure->target_format);
    }
    return format_options_encode(&measure->options, false, request->options, &request->options_count, &job->error);
}

static bool arguments_take(struct measure *measure, int argc, char **argv)
{
    struct command_job *job = &measure->job;
    job->message.which_operation = instar_ImageJob_measure_tag;
    measure->target_format = "raw";
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:l:o:O:U", measure_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(measure, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    return source_take(measure, argc, argv) && target_take(measure);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct measure *measure = context;
    const instar_MeasureMessage *result = &message->kind.measure;
    if (message->which_kind != instar_GuestMessage_measure_tag || measure->has_result) {
        return command_job_unexpected(message, error);
    }
    if (result->required > INT64_MAX || result->fully_allocated > INT64_MAX || result->bitmaps > INT64_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "the guest measures more bytes than a file can have");
    }
    measure->has_result = true;
    measure->result = *result;
    return true;
}

static bool json_print(const instar_MeasureMessage *result, struct error *error)
{
    struct value_tree tree;
    value_tree_init(&tree);
    value_add_number(&tree, &tree.root, "required", (int64_t)result->required);
    value_add_number(&tree, &tree.root, "fully-allocated", (int64_t)result->fully_allocated);
    if (result->has_bitmaps) {
        value_add_number(&tree, &tree.root, "bitmaps", (int64_t)result->bitmaps);
    }
    bool success = value_tree_check(&tree, error);
    if (success) {
        value_print_json(stdout, &tree.root);
        putchar('\n');
    }
    value_tree_release(&tree);
    return success;
}

static bool result_print(const struct measure *measure, struct error *error)
{
    const instar_MeasureMessage *result = &measure->result;
    if (!measure->has_result) {
        return error_set(error, ERROR_GUEST, NULL, "the guest did not measure");
    }
    if (measure->job.options.want_json) {
        return json_print(result, error);
    }
    printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n", result->required,
           result->fully_allocated);
    if (result->has_bitmaps) {
        printf("bitmaps size: %" PRIu64 "\n", result->bitmaps);
    }
    return true;
}

/* After an error of an option's name or type, qemu-img says whose options they are. */
static bool is_about_option(const struct error *error)
{
    return error->reason == ERROR_REASON_OPTION || error->reason == ERROR_REASON_NUMBER;
}

int command_measure(int argc, char **argv)
{
    static struct measure measure;
    struct command_job *job = &measure.job;
    command_job_init(job);
    bool success = arguments_take(&measure, argc, argv) && !command_job_explain(job, measure_help) &&
                   command_job_run(job, JOB_INSPECT, message_take, &measure) && result_print(&measure, &job->error);
    (void)success; /* job.error says it */
    bool is_options_fault = measure.options.count > 0 && !job->result.is_opening && is_about_option(&job->error);
    key_values_release(&measure.options);
    int exit_code = command_job_end(job, EXIT_OK, EXIT_ERROR);
    if (is_options_fault) {
        fprintf(stderr, "%s: Invalid options for file format '%s'\n", program_name(), measure.target_format);
    }
    return exit_code;
}
