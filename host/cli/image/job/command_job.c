/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/command_job.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/text.h"
#include "host/cli/embedded_guests.h"
#include "host/cli/escape.h"
#include "host/cli/image/job/command_job_error.h"
#include "host/cli/image/job/command_job_setup.h"
#include "host/cli/image/names/node_names.h"
#include "host/cli/personality.h"
#include "host/cli/reach.h"
#include "host/cli/report.h"
#include "host/cli/statistics_print.h"
#include "host/cli/time_limit.h"

/* qemu-img copies so much at a time (convert, IO_BUF_SIZE). */
#define PROGRESS_STEP_LEN (2u << 20)

/* Set, and not empty: `qemu-img`, too, says when it runs without a virtual machine. */
#define NOTICES_VARIABLE "INSTAR_NOTICES"

void command_job_init(struct command_job *job)
{
    image_options_init(&job->options);
    console_init(&job->errors, STDERR_FILENO);
    console_init(&job->output, STDOUT_FILENO);
    /* As qemu-img: who has read enough of the output does not end the job, nor make it fail. */
    signal(SIGPIPE, SIG_IGN);
}

unsigned int command_job_input_count(const struct command_job *job)
{
    return job->source_count + job->behind_count;
}

const struct image_name *command_job_input(const struct command_job *job, unsigned int device)
{
    return device < job->source_count ? &job->sources[device] : job->behind[device - job->source_count];
}

static bool count_check(struct command_job *job)
{
    unsigned int count_max = job->has_alike_sources ? JOB_INPUT_MAX : ARRAY_COUNT(job->message.sources);
    return command_job_input_count(job) < count_max ||
           error_set(&job->error, ERROR_LIMIT, NULL, "more than %u images to read", count_max);
}

/* What a name names besides: NULL, nothing. */
static bool input_add_further(struct command_job *job, const struct image_name *name)
{
    if (name == NULL) {
        return true;
    }
    RETURN_IF_FAILED(count_check(job));
    job->behind[job->behind_count++] = name;
    return true;
}

/* All that a name has behind it, and what that has. Recursion: IMAGE_BEHIND_MAX. */
static bool inputs_add_all(struct command_job *job, const struct image_name *name)
{
    const struct image_name *behind = NULL;
    RETURN_IF_FAILED(input_add_further(job, name->header));
    while ((behind = image_name_next_behind(name, behind)) != NULL) { /* ends: as many as layers, and 1 */
        RETURN_IF_FAILED(input_add_further(job, behind) && inputs_add_all(job, behind));
    }
    return true;
}

/* What is left to do after the parsing of a name. */
static bool source_count_up(struct command_job *job, const char *text, bool success)
{
    if (!success) {
        job->result.is_opening = true;
        job->result.opening_device = job->source_count;
        job->is_name_wrong = true;
        error_add_place(&job->error, text);
        return false;
    }
    const struct image_name *name = &job->sources[job->source_count];
    job->source_count++;
    return inputs_add_all(job, name);
}

bool command_job_names_are_apart(const struct command_job *job, const struct image_name *target, struct error *error)
{
    for (unsigned int i = 0; target->node_names != NULL && i < job->source_count; i++) {
        RETURN_IF_FAILED(node_names_are_apart(target->node_names, job->sources[i].node_names, error));
    }
    return true;
}

bool command_job_add_target(struct command_job *job, const struct image_name *name)
{
    unsigned int count = job->behind_count;
    job->target_name = name;
    RETURN_IF_FAILED(inputs_add_all(job, name));
    job->target_behind_count = job->behind_count - count;
    return true;
}

bool command_job_choose_header(struct command_job *job)
{
    if (job->sources[0].header == NULL) {
        return false;
    }
    image_name_choose_header(&job->sources[0]);
    job->behind_count = 0; /* an image of that format has nothing behind it */
    return true;
}

/* What the user calls a file or a device has to be one. Recursion: IMAGE_BEHIND_MAX. */
static bool file_driver_check(const struct image_name *name, struct error *error)
{
    struct stat status;
    const struct image_name *behind = NULL;
    bool wants_file = name->file_driver != NULL && strcmp(name->file_driver, "file") == 0;
    if (name->file_driver != NULL && reach_stat(name->path, &status) &&
        !(wants_file ? S_ISREG(status.st_mode) : S_ISBLK(status.st_mode))) {
        return error_set(error, ERROR_USAGE, NULL, "'%s' driver requires '%.100s' to be %s", name->file_driver,
                         name->path, wants_file ? "a regular file" : "either a character or block device");
    }
    while ((behind = image_name_next_behind(name, behind)) != NULL) { /* ends: as many as layers, and 1 */
        RETURN_IF_FAILED(file_driver_check(behind, error));
    }
    return true;
}

bool command_job_add_source_path(struct command_job *job, const char *path, const char *format)
{
    RETURN_IF_FAILED(count_check(job));
    struct image_name *name = &job->sources[job->source_count];
    return source_count_up(job, path, image_name_of_path(name, path, format, &job->error));
}

bool command_job_add_source(struct command_job *job, const char *text, const char *format)
{
    RETURN_IF_FAILED(count_check(job));
    if (job->options.use_image_opts && format != NULL) {
        return error_set(&job->error, ERROR_USAGE, NULL, IMAGE_OPTS_CONFLICT);
    }
    struct image_name *name = &job->sources[job->source_count];
    bool is_options = job->options.use_image_opts;
    bool success = job->leaves_backing ? image_name_parse_alone(name, text, format, is_options, &job->error)
                   : is_options        ? image_name_parse_options(name, text, &job->error)
                                       : image_name_parse(name, text, format, &job->error);
    if (success && (!command_job_names_are_apart(job, name, &job->error) ||
                    (job->writes_source && job->source_count == 0 && !image_name_is_writable(name, &job->error)) ||
                    !file_driver_check(name, &job->error))) {
        image_name_release(name);
        success = false;
    }
    if (success && name->has_empty_backing) {
        console_print(&job->errors,
                      "%s: warning: Use of \"backing\": \"\" is deprecated; use \"backing\": null instead\n",
                      program_name());
    }
    return source_count_up(job, text, success);
}

bool command_job_add_operand(struct command_job *job, int argc, char *const argv[])
{
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    if (argc - optind != 1) {
        return image_options_fail(&job->options, &job->error, "Expecting one image file name");
    }
    RETURN_IF_FAILED(image_options_check(&job->options, &job->error));
    return command_job_add_source(job, argv[optind], job->options.format);
}

bool command_job_take_target_cache(struct command_job *job, const char *text)
{
    struct cache_mode mode;
    if (!cache_mode_parse(text, &mode)) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Invalid cache option: %s", text);
    }
    job->writes_directly = mode.is_direct;
    job->options.machine.job.sync = job->options.machine.job.sync || mode.is_synced;
    return true;
}

bool command_job_explain(struct command_job *job, const char *help)
{
    if (job->options.object_help != NULL) {
        fputs(job->options.object_help, stdout);
        return true;
    }
    if (job->options.machine.want_help) {
        printf("%s%s%s", help, image_options_help, MACHINE_OPTIONS_HELP);
        return true;
    }
    if (job->options.machine.want_version) {
        printf("%s %s\n", "instar", INSTAR_VERSION);
        return true;
    }
    return false;
}

bool command_job_unexpected(const instar_GuestMessage *message, struct error *error)
{
    return error_set(error, ERROR_GUEST, NULL, "the guest sent a message of kind %d out of place",
                     (int)message->which_kind);
}

void command_job_show_progress(struct command_job *job, double percent)
{
    if (job->shows_progress) {
        console_print(job->progress, "    (%3.2f/100%%)\r", percent);
    }
}

/*
 * To a terminal at once. Into a log no more often than qemu-img, which counts what it has copied: by one per cent at
 * least, in pieces of PROGRESS_STEP_LEN; and what comes at one time counts once (idle).
 */
static void progress_show(struct command_job *job)
{
    job->progress_is_new = !job->progress_at_once;
    if (job->progress_at_once) {
        command_job_show_progress(job, job->percent);
    }
}

static void new_progress_show(struct command_job *job)
{
    double step = job->progress_step > 1 ? job->progress_step : 1;
    if (job->progress_is_new && job->percent < 100 && job->percent - job->shown_percent >= step) {
        job->progress_is_new = false;
        job->shown_percent = job->percent;
        command_job_show_progress(job, job->percent);
    }
}

/* The first one of a job. */
static void progress_begin(struct command_job *job)
{
    if (!job->has_progress) {
        job->has_progress = true;
        command_job_show_progress(job, 0);
    }
}

void command_job_end_progress(struct command_job *job)
{
    if (job->shows_progress) {
        console_print(job->progress, "\n");
    }
}

/* Whether the target is what standard output leads to: a file or a pipe, which must have nothing but the image. */
static bool writes_standard_output(const struct command_job *job)
{
    const char *path = job->options.machine.job.output.path;
    struct stat target;
    struct stat output;
    return path != NULL && fstat(job->output.fd, &output) == 0 && !S_ISCHR(output.st_mode) &&
           reach_stat(path, &target) && target.st_dev == output.st_dev && target.st_ino == output.st_ino;
}

static void warning_print(struct command_job *job, const instar_WarningMessage *warning)
{
    char text[ESCAPED_LEN(sizeof(warning->text))];
    enum line_verdict verdict = line_budget_take(&job->warnings);
    if (verdict == LINE_FIRST_LEFT_OUT) {
        console_print(&job->errors, "%s: warning: more warnings are left out (--max-lines)\n", program_name());
    } else if (verdict == LINE_PRINTED) {
        escape_text(text, sizeof(text), warning->text);
        console_print(&job->errors, "%s: warning: %s\n", program_name(), text);
    }
}

void command_job_tell_guess(struct command_job *job, const char *format)
{
    char path[ESCAPED_LEN(ERROR_PLACE_LEN)];
    const struct image_name *name = &job->sources[0];
    if (name->format[0] != '\0' || strcmp(format, "raw") != 0 || job->is_guess_told) {
        return;
    }
    job->is_guess_told = true;
    unsigned int count = job->has_second_guess ? 2 : 1;
    for (unsigned int i = 0; i < count; i++) {
        console_print(
            &job->errors,
            "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
            "         Automatically detecting the format is dangerous for raw images, write operations on block 0 "
            "will be restricted.\n"
            "         Specify the 'raw' format explicitly to remove the restrictions.\n",
            escape_text(path, sizeof(path), name->path));
    }
}

static void format_take(struct command_job *job, const instar_FormatMessage *format)
{
    if (job->writes_source && format->device == command_job_source_device(job, 0)) {
        command_job_tell_guess(job, format->format);
    }
}

bool command_job_print_finding(struct command_job *job, const instar_FindingMessage *finding, struct error *error)
{
    char text[ESCAPED_LEN(sizeof(finding->text))];
    if (job->finding_count >= job->findings_max) {
        return job->message.which_operation != instar_ImageJob_check_tag ||
               error_set(error, ERROR_GUEST, NULL, "the guest tells of more findings than it may");
    }
    job->finding_count++;
    console_print(&job->errors, "%s\n", escape_text(text, sizeof(text), finding->text));
    if (job->finding_count == job->findings_max) {
        console_print(&job->errors, "%s: there may be more findings, which are counted only (--max-lines)\n",
                      program_name());
    }
    return true;
}

static void message_take(void *context, const instar_GuestMessage *message)
{
    struct command_job *job = context;
    const instar_ProgressMessage *progress = &message->kind.progress;
    switch (message->which_kind) {
    case instar_GuestMessage_init_tag:
    case instar_GuestMessage_capacity_tag:
        break;
    case instar_GuestMessage_progress_tag:
        progress_begin(job);
        if (progress->total_bytes > 0) {
            job->percent = (double)progress->bytes / (double)progress->total_bytes * 100;
            job->progress_step = (double)PROGRESS_STEP_LEN / (double)progress->total_bytes * 100;
            progress_show(job);
        }
        break;
    case instar_GuestMessage_warning_tag:
        warning_print(job, &message->kind.warning);
        break;
    case instar_GuestMessage_format_tag:
        format_take(job, &message->kind.format);
        break;
    default:
        progress_begin(job);
        /* After the first message that is wrong, nothing that the guest says counts. */
        if (error_is_set(&job->failure)) {
            break;
        }
        /* What is repaired when the image is opened; a command that looks for damage knows more of it. */
        if (message->which_kind == instar_GuestMessage_finding_tag && command_job_changes_image(job)) {
            bool success = command_job_print_finding(job, &message->kind.finding, &job->failure);
            (void)success; /* job->failure says it */
        } else {
            job->handler(job->context, message, &job->failure);
        }
        break;
    }
}

static void debug_line_take(void *context, const char *text)
{
    struct command_job *job = context;
    char escaped[ESCAPED_LEN(sizeof(((instar_DebugLine *)0)->text))];
    console_print(&job->errors, "debug: %s\n", escape_text(escaped, sizeof(escaped), text));
}

static void child_text_take(void *context, const char *text)
{
    struct command_job *job = context;
    char line[REPORT_CHILD_TEXT_LEN];
    console_print(&job->errors, "%s", report_child_text(line, program_name(), text));
}

static void without_kvm(void *context, const struct error *reason)
{
    struct command_job *job = context;
    char notice[REPORT_NOTICE_LEN];
    const char *wanted = getenv(NOTICES_VARIABLE);
    if (!is_qemu_img() || (wanted != NULL && wanted[0] != '\0')) {
        console_print(&job->errors, "%s", report_without_kvm(notice, program_name(), reason));
    }
}

/* As qemu-img does it, which container managers poll: a line on standard error. */
static void progress_asked(void *context)
{
    struct command_job *job = context;
    console_print(&job->errors, "    (%3.2f/100%%)\n", job->percent);
}

static void in_place(void *context, const char *path, const char *reason)
{
    struct command_job *job = context;
    char notice[REPORT_NOTICE_LEN];
    console_print(&job->errors, "%s", report_in_place(notice, program_name(), path, reason));
}

static void idle(void *context)
{
    struct command_job *job = context;
    new_progress_show(job);
    console_flush(&job->errors);
    console_flush(&job->output);
}

bool command_job_take_objects(struct command_job *job)
{
    if (!image_options_take_objects(&job->options, &job->error)) {
        job->is_object_wrong = true;
        job->subject = NULL;
        return false;
    }
    return true;
}

bool command_job_run(struct command_job *job, enum job_kind kind, command_job_handler handler, void *context)
{
    struct machine_options *machine = &job->options.machine;
    struct job *machine_job = &machine->job;
    RETURN_IF_FAILED(image_options_check(&job->options, &job->error));
    job->handler = handler;
    job->context = context;
    job->shows_progress = job->options.want_progress && !job->options.is_quiet;
    job->progress = writes_standard_output(job) ? &job->errors : &job->output;
    job->progress_at_once = isatty(job->progress->fd) != 0;
    job->message.progress_percent = job->shows_progress || job->answers_progress ? 1 : JOB_PROGRESS_NONE;
    if (job->answers_progress) {
        signal(SIGUSR1, SIG_IGN); /* outside of the job's time; within it, the job takes it */
    }
    RETURN_IF_FAILED(machine_options_complete(machine, kind, &job->error));
    RETURN_IF_FAILED(command_job_take_objects(job));
    RETURN_IF_FAILED(command_job_set_up(job));
    machine_job->program_name = "image";
    machine_job->confines_process = true;
    machine_job->program = embedded_image();
    struct job_observer observer = {
        .context = job,
        .guest_message = message_take,
        .failure = &job->failure,
        .debug_line = debug_line_take,
        .child_text = child_text_take,
        .progress_asked = job->answers_progress ? progress_asked : NULL,
        .without_kvm = without_kvm,
        .in_place = in_place,
        .idle = idle,
    };
    if (!job->progress_waits) {
        progress_begin(job);
    }
    time_limit_begin(program_name(), machine_job->limits.time_s);
    bool success = job_run(machine_job, &observer, &job->result, &job->error);
    time_limit_enforce();
    if (job->error.kind == ERROR_IN_USE) {
        text_copy(job->used_path, sizeof(job->used_path), job->error.place);
    }
    if (job->result.signal_number != 0) {
        console_hurry(&job->errors);
        console_hurry(&job->output);
    }
    /* A job whose messages make no sense has not succeeded, and has no better reason for its failure. */
    if (error_is_set(&job->failure) && job->result.signal_number == 0) {
        job->error = job->failure;
        job->result.is_opening = false;
        success = false;
    }
    return success;
}

static void release(struct command_job *job)
{
    command_job_forget(job);
    for (unsigned int i = 0; i < job->source_count; i++) {
        image_name_release(&job->sources[i]);
    }
    job_result_release(&job->result);
    machine_options_release(&job->options.machine);
}

int command_job_end(struct command_job *job, int exit_code, int error_code)
{
    console_flush(&job->errors);
    console_flush(&job->output);
    int signal_number = job->result.signal_number;
    if (signal_number != 0 && error_is_set(&job->error)) {
        release(job);
        return report_interruption(signal_number);
    }
    if (!error_is_set(&job->error) && job->output.error_number != 0) {
        error_fill(&job->error, ERROR_IO, NULL, "cannot write to standard output: %s",
                   strerror(job->output.error_number));
    }
    if (job->options.machine.job.want_statistics && job->result.has_statistics) {
        statistics_print(stdout, job->options.machine.statistics_format, &job->result.statistics);
    }
    if (error_is_set(&job->error)) {
        report_note_error(&job->error);
        command_job_print_error(job);
        exit_code = error_code;
    } else {
        report_note_leaving();
    }
    exit_code = report_output_end(program_name(), exit_code);
    release(job);
    return exit_code;
}
