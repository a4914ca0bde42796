/* SPDX-License-Identifier: Apache-2.0 */
/* `check`: looks for damage in an image, and repairs it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/print/check_print.h"
#include "host/cli/image/values/value_print.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"

static const struct option check_options[] = {
    {"format", required_argument, NULL, 'f'},
    {"repair", required_argument, NULL, 'r'},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char check_help[] = "Usage: instar check [OPTION]... FILE\n"
                                 "Look for damage in the metadata of a disk image. The exit status is 0 if there\n"
                                 "is none, 2 for corruption, 3 for clusters that nobody uses (leaks), 63 if the\n"
                                 "format cannot be checked, 1 for errors.\n"
                                 "\n"
                                 "Options:\n"
                                 "  -f, --format FORMAT      FILE is of this format, instead of the one that it\n"
                                 "                           looks like\n"
                                 "  --output human|json      print text (default) or JSON\n"
                                 "  -r, --repair leaks|all   repair what is found, where the image is: with\n"
                                 "                           leaks, only clusters that nobody uses; then look\n"
                                 "                           again\n"
                                 "  -q                       print no result\n"
                                 "  -T MODE                  how to read: none and directsync past the page cache\n"
                                 "  -U, --force-share        also when the image is in use\n"
                                 "  -h                       show this text\n";

struct check {
    struct command_job job;
    instar_CheckMessage result;
    bool has_result;
    bool is_repaired; /* the guest looks again: another result comes */
};

static bool repair_take(struct command_job *job, const char *value)
{
    instar_RepairMode *mode = &job->message.operation.check.repair;
    *mode = strcmp(value, "leaks") == 0 ? instar_RepairMode_REPAIR_LEAKS
            : strcmp(value, "all") == 0 ? instar_RepairMode_REPAIR_ALL
                                        : instar_RepairMode_REPAIR_NONE;
    job->writes_source = *mode != instar_RepairMode_REPAIR_NONE;
    return job->writes_source ||
           image_options_fail(&job->options, &job->error,
                              "Unknown option value for -r (expecting 'leaks' or 'all'): %s", value);
}

static bool arguments_take(struct check *check, int argc, char **argv)
{
    struct command_job *job = &check->job;
    job->message.which_operation = instar_ImageJob_check_tag;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:r:T:qU", check_options, &job->error)) != -1) {
        if (code == '?' || (code == 'r' && !repair_take(job, optarg)) ||
            (code != 'r' && !image_options_take(&job->options, code, optarg, &job->error))) {
            return false;
        }
    }
    RETURN_IF_FAILED(command_job_add_operand(job, argc, argv));
    if (job->source_count > 0 && job->writes_source && job->options.force_share) {
        return error_set(&job->error, ERROR_USAGE, NULL,
                         "Could not open '%.100s': force-share=on can only be used with read-only images",
                         job->sources[0].text);
    }
    return true;
}

/* As qemu-img, before the second look. */
static void repair_print(struct check *check)
{
    check->is_repaired = true;
    check->job.finding_count = 0;
    if (!check->job.options.is_quiet && !check->job.options.want_json) {
        console_print(&check->job.output,
                      "The following inconsistencies were found and repaired:\n\n"
                      "    %" PRIu64 " leaked clusters\n"
                      "    %" PRIu64 " corruptions\n\n"
                      "Double checking the fixed image now...\n",
                      check->result.leaks_fixed, check->result.corruptions_fixed);
    }
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct check *check = context;
    if (message->which_kind == instar_GuestMessage_finding_tag && !check->has_result) {
        return command_job_print_finding(&check->job, &message->kind.finding, error);
    }
    if (message->which_kind == instar_GuestMessage_check_tag && !check->has_result) {
        check->result = message->kind.check;
        RETURN_IF_FAILED(check_message_check(&check->result, error));
        bool has_fixed = check->result.leaks_fixed > 0 || check->result.corruptions_fixed > 0;
        if (has_fixed && !check->job.writes_source) {
            return error_set(error, ERROR_GUEST, NULL, "the guest repaired what it was not to");
        }
        if (has_fixed && !check->is_repaired) {
            repair_print(check);
        } else {
            check->has_result = true;
        }
        return true;
    }
    return command_job_unexpected(message, error);
}

static bool json_print(const struct check *check, struct error *error)
{
    const struct image_name *source = &check->job.sources[0];
    bool is_said = source->format[0] != '\0' && source->layer_count == 0;
    const char *format = is_said ? source->format : check->result.format;
    struct value_tree tree;
    value_tree_init(&tree);
    check_add(&tree, &tree.root, &check->result, source->text, format);
    bool success = value_tree_check(&tree, error);
    if (success) {
        value_print_json(stdout, &tree.root);
        putchar('\n');
    }
    value_tree_release(&tree);
    return success;
}

/* Returns the exit code, which does not count when there is an error. */
static int result_print(struct check *check, struct error *error)
{
    if (!check->has_result) {
        error_fill(error, ERROR_GUEST, NULL, "the guest did not tell of the image");
        return EXIT_ERROR;
    }
    if (check->result.unsupported) {
        error_fill(error, ERROR_UNSUPPORTED, NULL, "This image format does not support checks");
        return CHECK_EXIT_UNSUPPORTED;
    }
    bool is_quiet = check->job.options.is_quiet;
    if (!is_quiet && check->job.options.want_json) {
        (void)json_print(check, error); /* *error says it */
    } else if (!is_quiet) {
        check_print_human(stdout, &check->result);
    }
    return check_exit_code(&check->result);
}

int command_check(int argc, char **argv)
{
    static struct check check;
    struct command_job *job = &check.job;
    int exit_code = EXIT_OK;
    command_job_init(job);
    job->options.machine.job.want_console = true; /* there may be many findings */
    if (arguments_take(&check, argc, argv) && !command_job_explain(job, check_help) &&
        command_job_run(job, job->writes_source ? JOB_CONVERT : JOB_INSPECT, message_take, &check)) {
        exit_code = result_print(&check, &job->error);
    }
    return command_job_end(job, exit_code, exit_code == CHECK_EXIT_UNSUPPORTED ? exit_code : EXIT_ERROR);
}
