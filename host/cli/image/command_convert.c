/* SPDX-License-Identifier: Apache-2.0 */
/* `convert`: the content of images, to a new image or an existing one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "host/cli/command.h"
#include "host/cli/image/backing_source.h"
#include "host/cli/image/convert_options.h"
#include "host/cli/image/convert_shard.h"
#include "host/cli/image/format_options.h"
#include "host/cli/image/job/command_job_error.h"
#include "host/cli/image/job/first_job.h"
#include "host/cli/image/names/image_path.h"
#include "host/cli/image/target_formats.h"
#include "host/cli/processor_count.h"
#include "host/cli/reach.h"
#include "host/cli/report.h"
#include "host/job/files/file_place.h"
#include "host/job/files/files.h"
#include "host/job/files/image_lock.h"

#define SEVERAL_WITH_BACKING \
    "Having a backing file for the target makes no sense when concatenating multiple input images"

struct convert {
    struct command_job job;
    struct convert_options options;
    struct image_name target;
    const struct target_format *format;
    char backing_path[IMAGE_PATH_LEN_MAX + 1]; /* of the file behind the target, when that is known */
};

static bool wants_option_list(const struct convert *convert)
{
    return format_options_ask_help(&convert->options.format_options);
}

static bool target_parse(struct convert *convert, const char *text)
{
    struct command_job *job = &convert->job;
    bool is_in_place = convert->options.is_in_place;
    struct error problem = {0};
    bool success = convert->options.uses_target_opts ? image_name_parse_options(&convert->target, text, &problem)
                                                     : image_name_parse(&convert->target, text, NULL, &problem);
    if (!success || (is_in_place && !command_job_names_are_apart(job, &convert->target, &problem))) {
        return is_in_place
                   ? error_set(&job->error, problem.kind, NULL, "Could not open '%.120s': %.100s", text, problem.detail)
                   : error_set(&job->error, problem.kind, text, "%s", problem.detail);
    }
    return is_in_place ? image_name_is_target(&convert->target, &job->error)
                       : image_name_is_new(&convert->target, &job->error);
}

static bool format_choose(struct convert *convert)
{
    const char *name = convert->options.target_format != NULL ? convert->options.target_format : "raw";
    if (convert->options.uses_target_opts && convert->target.format[0] != '\0') {
        name = convert->target.format;
    }
    return target_format_find(name, &convert->format, &convert->job.error);
}

/* What is about a target that is not there yet. */
static bool creation_check(struct convert *convert)
{
    struct convert_options *options = &convert->options;
    struct error *error = &convert->job.error;
    const instar_ConvertRequest *request = &convert->job.message.operation.convert;
    const char *preallocation = key_values_find(&options->format_options, "preallocation");
    RETURN_IF_FAILED(target_format_check(convert->format, &options->format_options, error) &&
                     backing_choice_complete(&options->backing, convert->format, &options->format_options, error));
    const char *encryption = key_values_find(&options->format_options, "encryption");
    bool encrypts = false;
    bool is_switch = encryption == NULL || key_value_is_switch(encryption, &encrypts);
    encrypts = (is_switch && encrypts) || key_values_find(&options->format_options, "encrypt.format") != NULL;
    const char *problem = NULL;
    if (options->backing.file != NULL && convert->job.source_count > 1) {
        problem = SEVERAL_WITH_BACKING;
    } else if (options->backing.file != NULL && options->backing.format == NULL) {
        problem = "Use of backing file requires explicit backing format";
    } else if (request->compress && encrypts) {
        problem = "Compression and encryption not supported at the same time";
    } else if (request->compress && preallocation != NULL && strcmp(preallocation, "off") != 0) {
        problem = "Compression and preallocation not supported at the same time";
    } else if (request->compress && target_format_is_flat(convert->format, &options->format_options)) {
        problem = "invalid cluster size"; /* QEMU's words: flat extents have no grains */
    }
    return problem == NULL || error_set(error, ERROR_USAGE, NULL, "%s", problem);
}

/* The new image does not replace its own backing file, by whatever name. */
static bool is_other_file(struct convert *convert, const char *backing_path)
{
    struct stat backing;
    struct stat target;
    if (!reach_stat(backing_path, &backing) || !reach_stat(convert->target.path, &target)) {
        return true; /* one of them is not there */
    }
    struct file_identity identity = file_identity(&backing);
    struct file_identity target_identity = file_identity(&target);
    return !file_identity_equal(&identity, &target_identity) ||
           error_set(&convert->job.error, ERROR_USAGE, convert->target.path,
                     "error while converting %s: the output is the input", convert->format->name);
}

/* Sets convert->backing_path to the file of the name, which is relative to the target as the name in it. */
static bool backing_find(struct convert *convert, struct error *error)
{
    static struct image_path path;
    static char text[IMAGE_PATH_LEN_MAX + 1];
    const struct backing_choice *backing = &convert->options.backing;
    const struct span bytes = {(const uint8_t *)backing->file, strlen(backing->file)};
    if (!image_path_beside(convert->target.path, bytes, &path)) {
        return error_set(error, ERROR_USAGE, NULL, "Backing file name too long");
    }
    memcpy(text, path.bytes, path.len);
    text[path.len] = '\0';
    struct image_name name;
    struct error cause = {0};
    if (!image_path_has_protocol(bytes)) {
        text_copy(convert->backing_path, sizeof(convert->backing_path), text);
    } else if (image_name_parse(&name, text, backing->format, &cause)) {
        text_copy(convert->backing_path, sizeof(convert->backing_path), name.path);
        image_name_release(&name);
    } else {
        return error_set(error, cause.kind, NULL, "Could not open '%.64s': " IMAGE_BACKING_PROBLEM "%.150s",
                         convert->target.text, cause.detail);
    }
    return true;
}

struct use_question {
    const char *path;
    const char *target;    /* as the user has written it */
    unsigned int unshared; /* IMAGE_*: what nobody else shall do */
    struct error *error;
};

static bool use_ask(void *context)
{
    struct use_question *question = context;
    struct file_place place;
    int result = file_place_look(&place, question->path);
    if (result == ENOENT) {
        return true; /* a name without a file: others tell */
    }
    if (result != 0) {
        return error_set_cause(question->error, ERROR_REASON_OPEN, ERROR_IO, question->path,
                               file_place_problem(result));
    }
    bool has_locks = place.handle >= 0 && (S_ISREG(place.status.st_mode) || S_ISBLK(place.status.st_mode));
    bool is_storage = has_locks || place.handle < 0 || S_ISCHR(place.status.st_mode);
    int fd = has_locks ? file_place_open(&place, O_RDONLY) : -1;
    file_place_release(&place);
    if (!is_storage) {
        return error_set(question->error, ERROR_USAGE, NULL,
                         "Could not open '%.64s': " IMAGE_BACKING_PROBLEM
                         "'file' driver requires '%.64s' to be a regular file",
                         question->target, question->path);
    }
    bool is_free = fd < 0 || image_lock_test(fd, IMAGE_READ, question->unshared, question->path, question->error);
    if (fd >= 0) {
        close(fd);
    }
    return is_free;
}

/* qemu-img opens the new image with what is behind it; to what is not raw nobody may write. -U is about sources. */
static bool backing_is_unused(struct convert *convert, const char *path)
{
    struct command_job *job = &convert->job;
    struct error cause = {0};
    bool is_raw = strcmp(convert->options.backing.format, "raw") == 0;
    struct use_question question = {.path = path,
                                    .target = convert->target.text,
                                    .unshared = is_raw ? 0 : IMAGE_WRITE | IMAGE_RESIZE,
                                    .error = &cause};
    if (reach_do(use_ask, &question, &cause)) {
        return true;
    }
    if (cause.kind != ERROR_IN_USE) {
        job->error = cause;
        return false;
    }
    text_copy(job->used_path, sizeof(job->used_path), path);
    return error_set(&job->error, ERROR_IN_USE, NULL, "Could not open '%.100s': " IMAGE_BACKING_PROBLEM "%.100s",
                     convert->target.text, cause.detail);
}

/*
 * Whether the backing file is there, as qemu-img makes sure. Nothing of it is needed for the target: what that leaves
 * to it is what the source leaves to its own. Which may be this one, so sources may lead to it.
 */
static bool backing_check(struct convert *convert)
{
    const char *path = convert->backing_path;
    struct error *error = &convert->job.error;
    if (convert->options.backing.file == NULL) {
        return true;
    }
    RETURN_IF_FAILED(backing_find(convert, error));
    convert->job.target_backing = path;
    RETURN_IF_FAILED(reach_access(path, R_OK) ||
                     error_set(error, ERROR_IO, NULL,
                               "Could not open '%.64s': " IMAGE_BACKING_PROBLEM "Could not open '%.64s': %s",
                               convert->target.text, path, strerror(errno)));
    return is_other_file(convert, path) && backing_is_unused(convert, path);
}

/* What is left to the file behind an image that is there already is the user's word, too. */
static void left_backing_allow(struct convert *convert)
{
    struct error ignored = {0};
    bool is_found = convert->options.backing.file != NULL && backing_find(convert, &ignored);
    convert->job.target_backing = is_found ? convert->backing_path : NULL;
}

/* Makes the target's backing file the last source, for what a new image has to know of it. */
static bool backing_add(struct convert *convert)
{
    struct command_job *job = &convert->job;
    const struct backing_choice *backing = &convert->options.backing;
    if (backing->file == NULL || !convert->format->looks_behind) {
        return true;
    }
    job->message.operation.convert.looks_at_backing = true;
    return backing_source_add(job, convert->target.path, backing->file, backing->format);
}

static bool creation_take(struct convert *convert)
{
    struct command_job *job = &convert->job;
    instar_ConvertRequest *request = &job->message.operation.convert;
    struct convert_options *options = &convert->options;
    if (options->is_in_place) {
        /* The target's own backing file stays, whatever it is. As in qemu-img, -B says what is left to it. */
        left_backing_allow(convert);
        struct backing_choice left = {.file = options->backing.file};
        return backing_choice_encode(&left, request->backing_file.bytes, sizeof(request->backing_file.bytes),
                                     &request->backing_file.size, request->backing_format,
                                     sizeof(request->backing_format), &job->error);
    }
    RETURN_IF_FAILED(creation_check(convert) && backing_check(convert) && backing_add(convert));
    struct job *machine_job = &job->options.machine.job;
    machine_job->output.path = convert->target.path;
    RETURN_IF_FAILED(target_data_file_take(&options->format_options, machine_job, request->data_file.bytes,
                                           sizeof(request->data_file.bytes), &request->data_file.size, &job->error));
    RETURN_IF_FAILED(target_extent_take(convert->format, &options->format_options, machine_job,
                                        request->data_file.bytes, sizeof(request->data_file.bytes),
                                        &request->data_file.size, &job->error));
    return format_options_encode(&options->format_options, true, request->options, &request->options_count,
                                 &job->error) &&
           backing_choice_encode(&options->backing, request->backing_file.bytes, sizeof(request->backing_file.bytes),
                                 &request->backing_file.size, request->backing_format, sizeof(request->backing_format),
                                 &job->error);
}

static bool target_take(struct convert *convert, const char *text)
{
    struct command_job *job = &convert->job;
    instar_ConvertRequest *request = &job->message.operation.convert;
    RETURN_IF_FAILED(target_parse(convert, text) && format_choose(convert));
    text_copy(request->target_format, sizeof(request->target_format), convert->format->guest_name);
    if (!target_format_fits(convert->format, convert->target.path, &job->error)) {
        error_add_place(&job->error, text);
        return false;
    }
    job->target_data_file = convert->target.data_file;
    if (convert->options.is_in_place && request->shard != 0 && !target_format_is_raw(convert->format)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "--shard writes in place to raw images only");
    }
    if (convert->options.is_in_place && target_format_is_raw(convert->format) &&
        (job->options.data_file != NULL || job->target_data_file != NULL)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "a raw image has no data file");
    }
    if (convert->options.is_in_place && convert->options.backing.file != NULL && job->source_count > 1) {
        return error_set(&job->error, ERROR_USAGE, NULL, SEVERAL_WITH_BACKING);
    }
    RETURN_IF_FAILED(creation_take(convert) && command_job_add_target(job, &convert->target));
    request->target_device = command_job_input_count(job); /* what is behind it may be an input, too */
    return !request->compress || convert->format->has_compression ||
           error_set(&job->error, ERROR_USAGE, NULL, "Compression not supported for this file format");
}

static bool arguments_take(struct convert *convert, int argc, char **argv)
{
    struct command_job *job = &convert->job;
    job->options.machine.job.vcpu_count = processor_count(PROCESSORS_OF_JOB_MAX, "");
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
    if (source_count > 1 && job->message.operation.convert.shard != 0) {
        return error_set(&job->error, ERROR_USAGE, NULL, "No support for a part of concatenated images");
    }
    if (source_count > 1 && convert->options.wants_bitmaps) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Copying bitmaps only possible with single source");
    }
    for (int i = 0; i < source_count; i++) {
        RETURN_IF_FAILED(command_job_add_source(job, argv[optind + i], job->options.format));
    }
    return (job->message.operation.convert.shard == 0 || convert_shard_take_source(job)) &&
           target_take(convert, argv[argc - 1]);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return command_job_unexpected(message, error);
}

static void convert_run(struct convert *convert)
{
    struct command_job *job = &convert->job;
    struct job *machine_job = &job->options.machine.job;
    const struct cache_mode *cache = &convert->options.target_cache;
    machine_job->output_kind = convert->options.is_in_place ? JOB_OUTPUT_IN_PLACE : JOB_OUTPUT_NEW;
    machine_job->streams_output = target_format_is_raw(convert->format);
    machine_job->writes_alone = !target_format_is_raw(convert->format);
    machine_job->reads_alone = true;
    if (convert->options.is_in_place) {
        report_note_in_place();
    }
    machine_job->resizes_output = convert->options.is_in_place;
    machine_job->fills_output = convert->options.is_in_place;
    machine_job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    machine_job->want_copies = true;
    job->answers_progress = true;
    machine_job->reads_in_vain = job->message.operation.convert.salvage;
    machine_job->output.path = convert->target.path;
    machine_job->output.backend = cache->is_direct ? BACKEND_DIRECT : job->options.machine.backend;
    for (unsigned int i = 0; i < machine_job->further_outputs.count; i++) {
        machine_job->further_outputs.list[i].image.backend = machine_job->output.backend;
    }
    machine_job->sync = machine_job->sync || cache->is_synced;
    machine_job->flushes_outputs = machine_job->sync;
    job->message.operation.convert.sync = machine_job->sync;
    if (target_hints_take(&convert->options.format_options, machine_job, &job->error) &&
        command_job_run(job, JOB_CONVERT, message_take, convert)) {
        command_job_show_progress(job, 100);
    } else if (!convert->options.is_in_place) {
        char what[64];
        snprintf(what, sizeof(what), "error while converting %s", convert->format->name);
        command_job_explain_target(job, convert->target.text, what);
    }
    command_job_end_progress(job);
}

/* In a process of its own. */
static bool len_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    uint64_t *len = context;
    if (message->which_kind != instar_GuestMessage_measure_tag) {
        return command_job_unexpected(message, error);
    }
    *len = message->kind.measure.required;
    return true;
}

static int len_find(void *context)
{
    struct convert *convert = context;
    struct command_job *job = &convert->job;
    uint64_t len = 0;
    job->options.want_progress = false;
    job->options.machine.job.want_statistics = false;
    job->options.machine.job.output.path = NULL;
    job->options.machine.job.reads_alone = true;
    job->message.operation.convert.tells_len = true;
    bool success = command_job_run(job, JOB_INSPECT, len_take, &len) && first_job_tell(&len, sizeof(len), &job->error);
    return command_job_end(job, success ? EXIT_OK : EXIT_ERROR, EXIT_ERROR);
}

/* The files of an image that has several: how many depends on the sources, which only the guest can read. */
static bool parts_take(struct convert *convert)
{
    struct command_job *job = &convert->job;
    const struct key_values *options = &convert->options.format_options;
    uint64_t len;
    if (convert->options.is_in_place || !target_format_is_split(convert->format, options)) {
        return true;
    }
    return first_job_run(len_find, convert, job, &len, sizeof(len)) &&
           target_parts_take(convert->format, options, len, &job->options.machine.job, &job->error);
}

int command_convert(int argc, char **argv)
{
    static struct convert convert;
    struct command_job *job = &convert.job;
    bool is_ready = true;
    command_job_init(job);
    if (arguments_take(&convert, argc, argv) && !command_job_explain(job, convert_help)) {
        if (wants_option_list(&convert)) {
            target_format_help(convert.options.target_format, optind < argc, &job->error);
        } else {
            is_ready = parts_take(&convert);
            if (is_ready) {
                convert_run(&convert);
            }
        }
    }
    int exit_code = command_job_end(job, is_ready ? EXIT_OK : EXIT_ERROR, EXIT_ERROR);
    image_name_release(&convert.target); /* the job tells of an error with its name */
    key_values_release(&convert.options.format_options);
    return exit_code;
}
