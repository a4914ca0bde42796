/* SPDX-License-Identifier: Apache-2.0 */
/* `convert`: the content of images, to a raw file or a block device. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "host/cli/command.h"
#include "host/cli/image/convert_options.h"
#include "host/cli/image/format_options.h"
#include "host/cli/report.h"

/* More decompress faster than any disk takes what comes out. */
#define VCPU_COUNT_MAX 8u

struct convert {
    struct image_job job;
    struct convert_options options;
    struct image_name target;
};

static bool wants_option_list(const struct convert *convert)
{
    return format_options_ask_help(&convert->options.format_options);
}

static void option_list_print(void)
{
    printf("Supported raw options:\n"
           "  preallocation=<str>    - off, or falloc, full: the storage is reserved beforehand\n"
           "  size=<size>            - accepted; the length is that of the sources\n");
}

/* Drivers that write a file as it is. */
static const char *guest_format(const char *format)
{
    bool is_plain =
        format == NULL || format[0] == '\0' || strcmp(format, "file") == 0 || strcmp(format, "host_device") == 0;
    return is_plain ? "raw" : format;
}

/* Names that stand for a descriptor of ours: what is written there could not be taken back, nor sought in. */
static bool is_stream(const char *path)
{
    static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const directories[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(path, names[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(directories); i++) {
        if (strncmp(path, directories[i], strlen(directories[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool target_parse(struct convert *convert, const char *text)
{
    struct image_job *job = &convert->job;
    bool success = convert->options.uses_target_opts ? image_name_parse_options(&convert->target, text, &job->error)
                                                     : image_name_parse(&convert->target, text, NULL, &job->error);
    if (!success) {
        error_add_place(&job->error, text);
        return false;
    }
    return !is_stream(convert->target.path) ||
           error_set(&job->error, ERROR_USAGE, text, "the target must be a file or a block device");
}

static bool target_take(struct convert *convert, const char *text)
{
    struct image_job *job = &convert->job;
    instar_ConvertRequest *request = &job->message.operation.convert;
    RETURN_IF_FAILED(target_parse(convert, text));
    const char *format =
        guest_format(convert->options.uses_target_opts ? convert->target.format : convert->options.target_format);
    int len = snprintf(request->target_format, sizeof(request->target_format), "%s", format);
    if (len < 0 || (size_t)len >= sizeof(request->target_format)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Unknown file format '%s'", format);
    }
    if (strcmp(format, "raw") != 0) {
        return error_set(&job->error, ERROR_UNSUPPORTED, NULL, "writing images of format '%s' is not supported yet",
                         format);
    }
    struct stat status;
    bool is_device_wanted =
        convert->options.target_format != NULL && strcmp(convert->options.target_format, "host_device") == 0;
    if (is_device_wanted && (stat(convert->target.path, &status) != 0 || !S_ISBLK(status.st_mode))) {
        return error_set(&job->error, ERROR_USAGE, text, "is not a block device, and 'host_device' makes none");
    }
    request->target_device = job->source_count;
    return format_options_encode(&convert->options.format_options, true, request->options, &request->options_count,
                                 &job->error);
}

static uint32_t online_vcpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }
    return (uint32_t)min_u64((uint64_t)CPU_COUNT(&set), VCPU_COUNT_MAX);
}

static bool arguments_take(struct convert *convert, int argc, char **argv)
{
    struct image_job *job = &convert->job;
    job->options.machine.job.vcpu_count = online_vcpu_count();
    RETURN_IF_FAILED(convert_options_take(&convert->options, job, argc, argv));
    if (job->options.machine.want_help || job->options.machine.want_version || wants_option_list(convert)) {
        return true;
    }
    int source_count = argc - optind - 1;
    if (source_count < 1) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Must specify image file name");
    }
    if (source_count > 1 && convert->options.has_snapshot) {
        return error_set(&job->error, ERROR_USAGE, NULL, "No support for concatenating multiple snapshot");
    }
    for (int i = 0; i < source_count; i++) {
        RETURN_IF_FAILED(image_job_add_source(job, argv[optind + i], job->options.format));
    }
    return target_take(convert, argv[argc - 1]);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return image_job_unexpected(message, error);
}

static void convert_run(struct convert *convert)
{
    struct image_job *job = &convert->job;
    struct job *machine_job = &job->options.machine.job;
    const struct cache_mode *cache = &convert->options.target_cache;
    machine_job->output_kind = convert->options.is_in_place ? JOB_OUTPUT_IN_PLACE : JOB_OUTPUT_NEW;
    machine_job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    machine_job->want_copies = true;
    machine_job->output.path = convert->target.path;
    machine_job->output.backend = cache->is_direct ? BACKEND_DIRECT : job->options.machine.backend;
    machine_job->sync = machine_job->sync || cache->is_synced;
    job->message.operation.convert.sync = machine_job->sync;
    if (image_job_run(job, JOB_CONVERT, message_take, convert)) {
        image_job_show_progress(job, 100);
    }
    image_job_end_progress(job);
}

int command_convert(int argc, char **argv)
{
    static struct convert convert;
    struct image_job *job = &convert.job;
    image_job_init(job);
    if (arguments_take(&convert, argc, argv) && !image_job_explain(job, convert_help)) {
        if (wants_option_list(&convert)) {
            option_list_print();
        } else {
            convert_run(&convert);
        }
    }
    image_name_release(&convert.target);
    key_values_release(&convert.options.format_options);
    return image_job_end(job, EXIT_OK, EXIT_ERROR);
}
