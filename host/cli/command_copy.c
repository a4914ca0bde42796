/* SPDX-License-Identifier: Apache-2.0 */
/* `instar copy`: a file through the virtual machine, with the options that people want. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/cli/command.h"
#include "host/cli/embedded_guests.h"
#include "host/cli/escape.h"
#include "host/cli/machine_options.h"
#include "host/cli/options.h"
#include "host/cli/outcome.h"
#include "host/cli/output_console.h"
#include "host/cli/progress_bar.h"
#include "host/cli/report.h"
#include "host/cli/time_limit.h"

enum {
    OPTION_COPY_BACKING = OPTION_COMMAND_FIRST,
};

static const struct option copy_options[] = {
    {"quiet", no_argument, NULL, 'q'},
    {"progress", no_argument, NULL, 'p'},
    {"backing", required_argument, NULL, OPTION_COPY_BACKING},
    MACHINE_OPTIONS,
    {NULL, 0, NULL, 0},
};

/* How progress is shown. */
enum display {
    DISPLAY_NONE,
    DISPLAY_BAR,     /* on a terminal */
    DISPLAY_PERCENT, /* as qemu-img -p: on standard output, terminal or not */
};

struct copy {
    struct machine_options options;
    bool is_quiet;
    bool want_percent;
    enum display display;
    struct console errors; /* standard error: bar and debug lines */
    struct console output; /* standard output: percentages */
    struct progress_bar bar;
};

static int help_print(void)
{
    printf("Usage: instar copy [OPTION]... SOURCE TARGET\n"
           "Copy a disk image through the virtual machine. SOURCE and TARGET are files or\n"
           "block devices; a file appears under its name when it is complete.\n"
           "\n"
           "Options:\n"
           "  -q, --quiet              show no progress\n"
           "  -p, --progress           show the percentage on standard output, as qemu-img\n"
           "                           does\n"
           "  --backing=HOW            reach the files by: regular (default), direct, mmap,\n"
           "                           io-uring, memory\n"
           "%s",
           MACHINE_OPTIONS_HELP);
    return report_output_end(PROGRAM_NAME, EXIT_OK);
}

static bool option_take(struct copy *copy, int code, const char *value, struct error *error)
{
    enum backend_kind backend;
    switch (code) {
    case 'q':
        copy->is_quiet = true;
        return true;
    case 'p':
        copy->want_percent = true;
        return true;
    case OPTION_COPY_BACKING:
        if (!backend_kind_parse(value, &backend)) {
            return error_set(error, ERROR_USAGE, "--backing",
                             "%s is not one of regular, direct, mmap, io-uring, memory", value);
        }
        return machine_options_take_backend(&copy->options, backend, "--backing", error);
    default:
        return machine_options_take(&copy->options, code, value, error);
    }
}

static bool arguments_take(struct copy *copy, int argc, char **argv, struct error *error)
{
    int code;
    while ((code = options_next(argc, argv, ":hqp", copy_options, error)) != OPTIONS_END) {
        if (code == OPTIONS_ERROR) {
            return false;
        }
        RETURN_IF_FAILED(option_take(copy, code, optarg, error));
    }
    if (copy->options.want_help || copy->options.want_version) {
        return true;
    }
    if (argc - optind < 2) {
        return error_set(error, ERROR_USAGE, NULL, "copy needs a source and a target");
    }
    if (argc - optind > 2) {
        return error_set(error, ERROR_USAGE, argv[optind + 2], "one argument too many");
    }
    struct job *job = &copy->options.job;
    job->inputs[0].path = argv[optind];
    job->inputs[0].backend = copy->options.backend;
    job->input_count = 1;
    job->output_kind = JOB_OUTPUT_NEW;
    job->confines_process = true;
    job->output.path = argv[optind + 1];
    job->output.backend = copy->options.backend;
    return machine_options_complete(&copy->options, JOB_CONVERT, error);
}

static void percent_print(struct copy *copy, double percent)
{
    console_print(&copy->output, "    (%3.2f/100%%)\r", percent);
}

static void progress_take(struct copy *copy, uint64_t bytes, uint64_t total_bytes)
{
    if (copy->display == DISPLAY_BAR) {
        progress_bar_update(&copy->bar, bytes, total_bytes);
    } else if (copy->display == DISPLAY_PERCENT && total_bytes > 0) {
        percent_print(copy, (double)bytes / (double)total_bytes * 100);
    }
}

static void message_take(void *context, const instar_GuestMessage *message)
{
    if (message->which_kind == instar_GuestMessage_progress_tag) {
        progress_take(context, message->kind.progress.bytes, message->kind.progress.total_bytes);
    } else if (message->which_kind == instar_GuestMessage_capacity_tag &&
               strcmp(message->kind.capacity.device, "input") == 0) {
        progress_take(context, 0, message->kind.capacity.bytes);
    }
}

static void debug_line_take(void *context, const char *text)
{
    struct copy *copy = context;
    char escaped[ESCAPED_LEN(sizeof(((instar_DebugLine *)0)->text))];
    progress_bar_clear(&copy->bar);
    console_print(&copy->errors, "debug: %s\n", escape_text(escaped, sizeof(escaped), text));
}

static void child_text_take(void *context, const char *text)
{
    struct copy *copy = context;
    char line[REPORT_CHILD_TEXT_LEN];
    progress_bar_clear(&copy->bar);
    console_print(&copy->errors, "%s", report_child_text(line, PROGRAM_NAME, text));
}

static void without_kvm(void *context, const struct error *reason)
{
    struct copy *copy = context;
    char notice[REPORT_NOTICE_LEN];
    console_print(&copy->errors, "%s", report_without_kvm(notice, PROGRAM_NAME, reason));
}

static void in_place(void *context, const char *path, const char *reason)
{
    struct copy *copy = context;
    char notice[REPORT_NOTICE_LEN];
    console_print(&copy->errors, "%s", report_in_place(notice, PROGRAM_NAME, path, reason));
}

static void idle(void *context)
{
    struct copy *copy = context;
    if (copy->display == DISPLAY_BAR) {
        progress_bar_draw(&copy->bar);
    }
    console_flush(&copy->errors);
    console_flush(&copy->output);
}

static enum display display_choose(const struct copy *copy)
{
    if (copy->is_quiet) {
        return DISPLAY_NONE;
    }
    if (copy->want_percent) {
        return DISPLAY_PERCENT;
    }
    return isatty(STDERR_FILENO) ? DISPLAY_BAR : DISPLAY_NONE;
}

static void display_end(struct copy *copy, bool success, bool is_interrupted)
{
    if (is_interrupted) {
        console_hurry(&copy->errors);
        console_hurry(&copy->output);
    }
    progress_bar_clear(&copy->bar);
    if (copy->display == DISPLAY_PERCENT) {
        if (success) {
            percent_print(copy, 100);
        }
        console_print(&copy->output, "\n");
    }
    console_flush(&copy->errors);
    console_flush(&copy->output);
}

static int copy_run(struct copy *copy)
{
    struct job *job = &copy->options.job;
    console_init(&copy->errors, STDERR_FILENO);
    console_init(&copy->output, STDOUT_FILENO);
    progress_bar_init(&copy->bar, &copy->errors);
    copy->display = display_choose(copy);
    job->program_name = "copy";
    job->program = embedded_copy();
    copy->options.copy.progress_percent = copy->display == DISPLAY_NONE ? JOB_PROGRESS_NONE : 1;
    struct job_observer observer = {
        .context = copy,
        .guest_message = message_take,
        .debug_line = debug_line_take,
        .child_text = child_text_take,
        .without_kvm = without_kvm,
        .in_place = in_place,
        .idle = idle,
        .idle_interval_ms = copy->display == DISPLAY_BAR ? PROGRESS_BAR_INTERVAL_MS : 0,
    };
    struct error error = {0};
    static struct job_result result; /* large */
    static uint8_t message[FRAME_BODY_MAX];
    time_limit_begin(PROGRAM_NAME, job->limits.time_s);
    bool success =
        copy_message_make(&copy->options.copy, job, message, &error) && job_run(job, &observer, &result, &error);
    display_end(copy, success, result.signal_number != 0);
    time_limit_enforce(); /* an error for the limit has a line of its own */
    if (success && copy->output.error_number != 0) {
        success = error_set(&error, ERROR_IO, NULL, "cannot write to standard output: %s",
                            strerror(copy->output.error_number));
    }
    int exit_code = outcome_report(PROGRAM_NAME, &copy->options, success, &result, &error);
    job_result_release(&result);
    return exit_code;
}

int command_copy(int argc, char **argv)
{
    static struct copy copy; /* large */
    struct error error = {0};
    machine_options_init(&copy.options);
    if (!arguments_take(&copy, argc, argv, &error)) {
        return report_error(PROGRAM_NAME, &error);
    }
    if (copy.options.want_help) {
        return help_print();
    }
    if (copy.options.want_version) {
        printf("instar %s\n", INSTAR_VERSION);
        return report_output_end(PROGRAM_NAME, EXIT_OK);
    }
    int exit_code = copy_run(&copy);
    machine_options_release(&copy.options);
    return exit_code;
}
