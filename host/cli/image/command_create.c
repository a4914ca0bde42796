/* SPDX-License-Identifier: Apache-2.0 */
/* `create`: a new image without content. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/number_text.h"
#include "base/text.h"
#include "host/cli/command.h"
#include "host/cli/escape.h"
#include "host/cli/image/backing_choice.h"
#include "host/cli/image/backing_source.h"
#include "host/cli/image/format_options.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/job/first_job.h"
#include "host/cli/image/target_formats.h"
#include "host/cli/report.h"

static const struct option create_options[] = {
    IMAGE_OPTIONS,
};

static const char create_help[] = "Usage: instar create [OPTION]... FILE [SIZE]\n"
                                  "Make FILE a new disk image. It appears under its name when it is complete; a\n"
                                  "block device is written in place. SIZE is in bytes; k, M, G, T, P, E are\n"
                                  "understood. Without it the disk is as large as that of the backing file.\n"
                                  "\n"
                                  "Options:\n"
                                  "  -f FORMAT                the format of FILE: raw (default), qcow2, vdi, vpc,\n"
                                  "                           vhdx, qed, parallels, qcow, vmdk, luks\n"
                                  "  -o OPTION=VALUE,...      options of that format; repeatable; -o help lists\n"
                                  "                           them\n"
                                  "  -b BACKING               the backing file, relative to the directory of FILE\n"
                                  "  -F FORMAT                the format of the backing file\n"
                                  "  -u                       do not look at the backing file, which need not\n"
                                  "                           exist\n"
                                  "  -q                       do not print what is made\n"
                                  "  -h                       show this text\n";

struct create {
    struct command_job job;
    struct key_values options; /* -o; in the end everything that is chosen */
    struct backing_choice backing;
    const struct target_format *format;
    struct image_name target;
    bool is_unsafe; /* -u */
    bool has_size;
    uint64_t size;
    char failure_note[64];
    bool is_announced;
};

static bool wants_option_list(const struct create *create)
{
    return format_options_ask_help(&create->options);
}

static bool option_take(struct create *create, int code)
{
    struct command_job *job = &create->job;
    switch (code) {
    case '?':
        return false;
    case 'b':
        create->backing.file = optarg;
        return true;
    case 'F':
        create->backing.format = optarg;
        return true;
    case 'o':
        return format_options_take(&create->options, optarg, &job->error);
    case 'u':
        create->is_unsafe = true;
        return true;
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool operands_take(struct create *create, int argc, char **argv)
{
    struct command_job *job = &create->job;
    if (optind >= argc) {
        return image_options_fail(&job->options, &job->error, "Expecting image file name");
    }
    if (argc - optind > 2) {
        return image_options_fail(&job->options, &job->error, "Unexpected argument: %s", argv[optind + 2]);
    }
    if (argc - optind == 2) {
        RETURN_IF_FAILED(size_argument_parse("image size", argv[optind + 1], &create->size, &job->error));
        create->has_size = true;
    }
    job->subject = argv[optind];
    return image_name_parse(&create->target, argv[optind], NULL, &job->error) &&
           image_name_is_new(&create->target, &job->error);
}

/* The size, which may be an option, but not twice. */
static bool size_take(struct create *create)
{
    struct command_job *job = &create->job;
    const char *text = key_values_find(&create->options, "size");
    if (text == NULL) {
        return true;
    }
    if (create->has_size) {
        return error_set(&job->error, ERROR_USAGE, NULL, "The image size must be specified only once");
    }
    create->has_size = size_parse(text, &create->size);
    return create->has_size || error_set(&job->error, ERROR_USAGE, NULL, "Parameter 'size' expects a number of bytes");
}

static bool line_print(struct create *create, FILE *stream)
{
    char number[24];
    size_t room = ESCAPED_LEN(strlen(create->job.subject));
    char *name = malloc(room);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)create->size);
    if (name == NULL || !key_values_add(&create->options, "size", number, &create->job.error)) {
        free(name);
        return false;
    }
    fprintf(stream, "Formatting '%s', fmt=%s", escape_text(name, room, create->job.subject), create->format->name);
    target_format_print_values(stream, create->format, &create->options);
    fputc('\n', stream);
    free(name);
    return true;
}

static bool size_message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct create *create = context;
    if (message->which_kind == instar_GuestMessage_detail_tag) {
        return true; /* nobody wants to know */
    }
    if (message->which_kind != instar_GuestMessage_info_tag) {
        return command_job_unexpected(message, error);
    }
    create->has_size = true;
    create->size = message->kind.info.virtual_size;
    return true;
}

/* In a process of its own, of which nothing is left: takes the size of the backing file. */
static bool size_look(struct create *create)
{
    struct command_job *job = &create->job;
    struct job *machine_job = &job->options.machine.job;
    job->error = (struct error){0};
    job->result = (struct job_result){0};
    machine_job->output = (struct job_image){.sector_len = machine_job->output.sector_len};
    machine_job->output_kind = JOB_OUTPUT_NONE;
    machine_job->output_len = 0;
    machine_job->want_statistics = false;
    job->message.which_operation = instar_ImageJob_info_tag;
    job->message.operation.info = (instar_InfoRequest){0};
    return command_job_run(job, JOB_INSPECT, size_message_take, create) && create->has_size;
}

static int size_find(void *context)
{
    struct create *create = context;
    struct command_job *job = &create->job;
    bool success = size_look(create) && first_job_tell(&create->size, sizeof(create->size), &job->error);
    return command_job_end(job, success ? EXIT_OK : EXIT_ERROR, EXIT_ERROR);
}

/* Waits for that process. What else it has to say has been said, or is about the line alone. */
static void choice_print_by_looking(struct create *create)
{
    struct error ignored = {0};
    bool is_hidden = image_options_hide_objects(&create->job.options, &ignored);
    int silence = is_hidden ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
    fflush(stdout);
    pid_t parent = getpid();
    pid_t pid = silence >= 0 ? fork() : -1;
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
            dup2(silence, STDERR_FILENO) == STDERR_FILENO) {
            if (size_look(create) && line_print(create, stdout)) {
                fflush(stdout);
            }
        }
        _exit(EXIT_OK);
    }
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
    if (silence >= 0) {
        close(silence);
    }
}

/*
 * The error that ends the command came before the machine ran, or was asked to look behind the image; qemu-img has told
 * by then what it makes. A size that is the backing file's has to be looked for then.
 */
static void choice_print_late(struct create *create)
{
    bool is_quiet = create->is_announced || create->job.options.is_quiet;
    if (is_quiet || (create->backing.file != NULL && create->backing.format == NULL)) {
        return;
    }
    if (!create->has_size) {
        if (create->job.source_count > 0) {
            choice_print_by_looking(create);
        }
        return;
    }
    bool success = line_print(create, stdout);
    (void)success;  /* without memory there is no line */
    fflush(stdout); /* before the error */
}

static bool backing_choose(struct create *create)
{
    struct command_job *job = &create->job;
    struct backing_choice *backing = &create->backing;
    RETURN_IF_FAILED(backing_choice_complete(backing, create->format, &create->options, &job->error));
    if (backing->file == NULL) {
        return true;
    }
    if (backing->file[0] == '\0') {
        return error_set(&job->error, ERROR_USAGE, NULL, "Expected backing file name, got empty string");
    }
    return strcmp(backing->file, job->subject) != 0 ||
           error_set(&job->error, ERROR_USAGE, NULL,
                     "Error: Trying to create an image with the same filename as the backing file");
}

/* Makes the backing file the job's source, at the place that its name means in the new image. */
static bool backing_add(struct create *create)
{
    struct command_job *job = &create->job;
    if (create->backing.file == NULL || create->is_unsafe) {
        return true;
    }
    return backing_source_add(job, create->target.path, create->backing.file, create->backing.format);
}

static bool names_encode(struct create *create)
{
    instar_CreateRequest *request = &create->job.message.operation.create;
    struct error *error = &create->job.error;
    struct job *machine_job = &create->job.options.machine.job;
    machine_job->output.path = create->target.path;
    machine_job->output.backend = create->job.options.machine.backend;
    RETURN_IF_FAILED(target_data_file_take(&create->options, machine_job, request->data_file.bytes,
                                           sizeof(request->data_file.bytes), &request->data_file.size, error));
    RETURN_IF_FAILED(target_extent_take(create->format, &create->options, machine_job, request->data_file.bytes,
                                        sizeof(request->data_file.bytes), &request->data_file.size, error));
    return backing_choice_encode(&create->backing, request->backing_file.bytes, sizeof(request->backing_file.bytes),
                                 &request->backing_file.size, request->backing_format, sizeof(request->backing_format),
                                 error);
}

/* Only the header of a luks image, for data in another file. */
static bool makes_header(const struct create *create)
{
    const char *value = key_values_find(&create->options, "detached-header");
    bool is_on;
    return value != NULL && key_value_is_switch(value, &is_on) && is_on;
}

static bool request_encode(struct create *create)
{
    struct command_job *job = &create->job;
    instar_CreateRequest *request = &job->message.operation.create;
    RETURN_IF_FAILED(
        target_format_find(job->options.format != NULL ? job->options.format : "raw", &create->format, &job->error) &&
        target_format_check(create->format, &create->options, &job->error) &&
        target_format_fits(create->format, create->target.path, &job->error));
    RETURN_IF_FAILED(size_take(create) && backing_choose(create) && names_encode(create) && backing_add(create));
    create->has_size = create->has_size || makes_header(create); /* which has no disk */
    if (!create->has_size && job->source_count == 0) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Image creation needs a size parameter");
    }
    text_copy(request->target_format, sizeof(request->target_format), create->format->guest_name);
    request->target_device = command_job_input_count(job);
    request->has_size = create->has_size;
    request->size = create->size;
    return format_options_encode(&create->options, true, request->options, &request->options_count, &job->error);
}

/* The files of an image that has several: how many is to be known before the image is. */
static bool parts_take(struct create *create)
{
    struct command_job *job = &create->job;
    instar_CreateRequest *request = &job->message.operation.create;
    if (!target_format_is_split(create->format, &create->options)) {
        return true;
    }
    if (!create->has_size) {
        RETURN_IF_FAILED(first_job_run(size_find, create, job, &create->size, sizeof(create->size)));
        create->has_size = true;
        request->has_size = true;
        request->size = create->size;
    }
    return target_parts_take(create->format, &create->options, create->size, &job->options.machine.job, &job->error);
}

static bool arguments_take(struct create *create, int argc, char **argv)
{
    struct command_job *job = &create->job;
    job->message.which_operation = instar_ImageJob_create_tag;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:F:b:o:qu", create_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(create, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version || wants_option_list(create)) {
        return true;
    }
    return operands_take(create, argc, argv) && request_encode(create);
}

/* Prints what is going to be made. Not with printf: the job runs, and may be interrupted. */
static bool choice_print(struct create *create, struct error *error)
{
    char *text = NULL;
    size_t len;
    FILE *stream = open_memstream(&text, &len);
    bool success = stream != NULL && line_print(create, stream);
    success = stream != NULL && fclose(stream) == 0 && success;
    if (success) {
        console_print(create->job.progress, "%s", text); /* not into the image, where that is standard output */
    }
    free(text);
    return success || error_set(error, ERROR_HOST, NULL, "out of memory");
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct create *create = context;
    struct command_job *job = &create->job;
    const instar_CreateMessage *announced = &message->kind.create;
    if (message->which_kind != instar_GuestMessage_create_tag || create->is_announced) {
        return command_job_unexpected(message, error);
    }
    create->is_announced = true;
    create->size = create->has_size ? create->size : announced->size;
    if (create->backing.file != NULL && create->backing.format == NULL) { /* the guest is going to fail */
        char format[ESCAPED_LEN(sizeof(announced->backing_format))];
        escape_text(format, sizeof(format), announced->backing_format);
        snprintf(create->failure_note, sizeof(create->failure_note), "Detected format of %.40s.", format);
        job->failure_note = format[0] != '\0' ? create->failure_note : NULL;
        return true;
    }
    return job->options.is_quiet || choice_print(create, error);
}

static void create_run(struct create *create)
{
    struct command_job *job = &create->job;
    struct job *machine_job = &job->options.machine.job;
    machine_job->output_kind = JOB_OUTPUT_NEW;
    machine_job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    machine_job->writes_alone = !target_format_is_raw(create->format);
    job->message.operation.create.sync = machine_job->sync;
    bool success = target_hints_take(&create->options, machine_job, &job->error);
    bool is_for_target = !success;
    if (success) {
        success = command_job_run(job, JOB_CONVERT, message_take, create);
        is_for_target = job->result.is_opening && job->result.opening_device == command_job_input_count(job);
    }
    if (!success && is_for_target) {
        choice_print_late(create);
    } /* job.error says why */
}

int command_create(int argc, char **argv)
{
    static struct create create;
    struct command_job *job = &create.job;
    bool is_ready = true;
    command_job_init(job);
    if (arguments_take(&create, argc, argv) && !command_job_explain(job, create_help)) {
        if (wants_option_list(&create)) {
            target_format_help(job->options.format, optind < argc, &job->error);
        } else {
            is_ready = parts_take(&create);
            if (is_ready) {
                create_run(&create);
            }
        }
    }
    int exit_code = command_job_end(job, is_ready ? EXIT_OK : EXIT_ERROR, EXIT_ERROR);
    image_name_release(&create.target);
    key_values_release(&create.options);
    return exit_code;
}
