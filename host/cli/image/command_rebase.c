/* SPDX-License-Identifier: Apache-2.0 */
/* `rebase`: an image gets another backing file, and its disk stays what it is. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/cli/command.h"
#include "host/cli/image/backing_choice.h"
#include "host/cli/image/backing_source.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/names/image_driver.h"
#include "host/cli/report.h"

enum {
    OPTION_RECOMPRESS = IMAGE_OPTION_COMMAND_FIRST,
};

static const struct option rebase_options[] = {
    {"force-share", no_argument, NULL, 'U'},
    {"recompress", no_argument, NULL, OPTION_RECOMPRESS},
    IMAGE_OPTIONS,
};

static const char rebase_help[] = "Usage: instar rebase [OPTION]... -b BACKING FILE\n"
                                  "Give a disk image another backing file, and what it needs for its disk to stay\n"
                                  "what it is. The image is changed where it is. BACKING is relative to the\n"
                                  "image's directory.\n"
                                  "\n"
                                  "Options:\n"
                                  "  -b BACKING               the new backing file; '' for none\n"
                                  "  -F FORMAT                BACKING is of this format\n"
                                  "  -u                       only change the name: for a backing file that has\n"
                                  "                           been moved; its content is not looked at. Without\n"
                                  "                           -b, the image has none afterwards\n"
                                  "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                  "                           looks like\n"
                                  "  --recompress             write all that FILE gets uncompressed, also what is\n"
                                  "                           compressed as FILE would have it, instead of taking\n"
                                  "                           that as it is\n"
                                  "  -p                       show progress\n"
                                  "  -q                       accepted; no progress\n"
                                  "  -t MODE                  of FILE: none and directsync go past the page cache;\n"
                                  "                           directsync and writethrough end when the data is on\n"
                                  "                           stable storage\n"
                                  "  -T MODE                  of BACKING: the same\n"
                                  "  -U, --force-share        also when BACKING is in use\n"
                                  "  -h                       show this text\n";

struct rebase {
    struct command_job job;
    struct backing_choice backing;
    bool is_unsafe;
    const char *target_cache;
};

static bool option_take(struct rebase *rebase, int code)
{
    switch (code) {
    case '?':
        return false;
    case 'b':
        rebase->backing.file = optarg;
        return true;
    case 'F':
        rebase->backing.format = optarg;
        return true;
    case 't':
        rebase->target_cache = optarg;
        return true;
    case 'u':
        rebase->is_unsafe = true;
        return true;
    case OPTION_RECOMPRESS:
        rebase->job.message.operation.rebase.recompress = true;
        return true;
    default:
        return image_options_take(&rebase->job.options, code, optarg, &rebase->job.error);
    }
}

/* The new backing file's name is none: as qemu-img says it. */
static void name_explain(struct rebase *rebase)
{
    struct command_job *job = &rebase->job;
    struct error cause = job->error;
    char place[ERROR_PLACE_LEN];
    snprintf(place, sizeof(place), "Could not open new backing file '%.900s'", rebase->backing.file);
    job->error = (struct error){0};
    job->result.is_opening = false;
    error_fill(&job->error, cause.kind, place, "%s", cause.detail);
}

/* What the image is to be compared with, when that is a file. */
static bool backing_add(struct rebase *rebase)
{
    struct command_job *job = &rebase->job;
    const struct backing_choice *backing = &rebase->backing;
    if (rebase->is_unsafe || backing->file[0] == '\0') {
        return true;
    }
    if (backing_source_add(job, job->sources[0].path, backing->file, backing->format)) {
        return true;
    }
    name_explain(rebase);
    return false;
}

static bool request_encode(struct rebase *rebase)
{
    struct command_job *job = &rebase->job;
    instar_RebaseRequest *request = &job->message.operation.rebase;
    const struct backing_choice *backing = &rebase->backing;
    request->unsafe = rebase->is_unsafe;
    if (backing->format != NULL && image_driver_find(backing->format) == NULL) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Invalid format name: '%.100s'", backing->format);
    }
    return backing_choice_encode(backing, request->backing_file.bytes, sizeof(request->backing_file.bytes),
                                 &request->backing_file.size, request->backing_format, sizeof(request->backing_format),
                                 &job->error);
}

static bool arguments_take(struct rebase *rebase, int argc, char **argv)
{
    struct command_job *job = &rebase->job;
    int code;
    job->message.which_operation = instar_ImageJob_rebase_tag;
    job->options.machine.job.joins_files = true;
    job->writes_source = true;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:F:b:upt:T:qU", rebase_options, &job->error)) !=
           -1) {
        RETURN_IF_FAILED(option_take(rebase, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    if (optind != argc - 1) {
        return image_options_fail(&job->options, &job->error, "Expecting one image file name");
    }
    if (!rebase->is_unsafe && rebase->backing.file == NULL) {
        return image_options_fail(&job->options, &job->error, "Must specify backing file (-b) or use unsafe mode (-u)");
    }
    return command_job_take_target_cache(job, rebase->target_cache) &&
           image_options_check(&job->options, &job->error) && command_job_add_operand(job, argc, argv) &&
           request_encode(rebase) && backing_add(rebase);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return command_job_unexpected(message, error);
}

/* The new backing file, or one behind it, could not be opened. */
static void opening_explain(struct rebase *rebase)
{
    struct command_job *job = &rebase->job;
    struct error cause = job->error;
    job->error = (struct error){0};
    job->result.is_opening = false;
    if (cause.reason == ERROR_REASON_OPEN) {
        error_fill(&job->error, cause.kind, NULL,
                   "Could not open new backing file '%.80s': Could not open '%.80s': %.40s", rebase->backing.file,
                   cause.place, error_cause(&cause));
    } else if (strcmp(cause.place, job->sources[1].path) == 0) {
        error_fill(&job->error, cause.kind, NULL, "Could not open new backing file '%.80s': %.130s",
                   rebase->backing.file, cause.detail);
    } else {
        error_fill(&job->error, cause.kind, cause.place, "Could not open new backing file '%.80s': %.130s",
                   rebase->backing.file, cause.detail);
    }
}

/* Says of an error what qemu-img says. */
static void error_explain(struct rebase *rebase)
{
    struct command_job *job = &rebase->job;
    struct error cause = job->error;
    const char *name = rebase->backing.file != NULL ? rebase->backing.file : "";
    bool is_about_backing = job->source_count > 1 && job->result.is_opening && job->result.opening_device == 0;
    if (cause.reason == ERROR_REASON_OUTPUT_IS_INPUT) {
        job->error = (struct error){0};
        job->result.is_opening = false;
        text_copy(job->used_path, sizeof(job->used_path), cause.place);
        error_fill(&job->error, cause.kind, NULL,
                   "Could not open new backing file '%.100s': Failed to get shared \"write\" lock", name);
    } else if (is_about_backing) {
        opening_explain(rebase);
    } else if (!job->result.is_opening && cause.place[0] == '\0' &&
               (cause.kind == ERROR_USAGE || cause.kind == ERROR_UNSUPPORTED || cause.kind == ERROR_NO_SPACE)) {
        job->error = (struct error){0};
        error_fill(&job->error, cause.kind, NULL, "Could not change the backing file to '%.100s': %.80s", name,
                   cause.detail);
    }
}

static void rebase_run(struct rebase *rebase)
{
    struct command_job *job = &rebase->job;
    job->options.machine.job.fills_output = !rebase->is_unsafe;
    job->options.machine.job.flushes_outputs = true;
    if (!command_job_run(job, JOB_CONVERT, message_take, NULL)) {
        error_explain(rebase);
    } else {
        /* As qemu-img: what is done, and then the name. */
        if (job->percent > 0) {
            command_job_show_progress(job, 100);
        }
        command_job_show_progress(job, 100);
    }
    command_job_end_progress(job);
}

int command_rebase(int argc, char **argv)
{
    static struct rebase rebase = {.target_cache = "writeback"};
    struct command_job *job = &rebase.job;
    command_job_init(job);
    if (arguments_take(&rebase, argc, argv) && !command_job_explain(job, rebase_help)) {
        rebase_run(&rebase);
    }
    return command_job_end(job, EXIT_OK, EXIT_ERROR);
}
