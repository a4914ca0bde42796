/* SPDX-License-Identifier: Apache-2.0 */
/* `bitmap`: a persistent bitmap of an image is added, removed or changed. */
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/report.h"

/* Codes of the actions are in the order of instar_BitmapActionKind. */
enum {
    OPTION_ADD = IMAGE_OPTION_COMMAND_FIRST,
    OPTION_REMOVE,
    OPTION_CLEAR,
    OPTION_ENABLE,
    OPTION_DISABLE,
    OPTION_MERGE,
};

static const struct option bitmap_options[] = {
    {"add", no_argument, NULL, OPTION_ADD},         {"remove", no_argument, NULL, OPTION_REMOVE},
    {"clear", no_argument, NULL, OPTION_CLEAR},     {"enable", no_argument, NULL, OPTION_ENABLE},
    {"disable", no_argument, NULL, OPTION_DISABLE}, {"merge", required_argument, NULL, OPTION_MERGE},
    {"source-file", required_argument, NULL, 'b'},  {"source-format", required_argument, NULL, 'F'},
    {"granularity", required_argument, NULL, 'g'},  IMAGE_OPTIONS,
};

static const char bitmap_help[] = "Usage: instar bitmap ACTION... [OPTION]... FILE BITMAP\n"
                                  "Change the persistent bitmap BITMAP of a disk image, where the image is: all\n"
                                  "actions, one after the other.\n"
                                  "\n"
                                  "Actions:\n"
                                  "  --add                    make it, enabled: it follows changes of the disk\n"
                                  "  --remove                 remove it\n"
                                  "  --clear                  it has no bits any more\n"
                                  "  --enable, --disable      it follows changes of the disk, or does not\n"
                                  "  --merge SOURCE           add the bits of the bitmap SOURCE\n"
                                  "\n"
                                  "Options:\n"
                                  "  -b, --source-file FILE   SOURCE is a bitmap of this image\n"
                                  "  -F, --source-format FORMAT\n"
                                  "                           which is of this format, instead of the one that it\n"
                                  "                           looks like\n"
                                  "  -g, --granularity SIZE   a bit of a bitmap that is added stands for SIZE\n"
                                  "                           bytes, a power of two from 512 on\n"
                                  "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                  "                           looks like\n"
                                  "  -h                       show this text\n";

struct bitmap {
    struct command_job job;
    const char *source_file;
    const char *source_format;
    bool adds;
    bool merges;
    bool has_failed; /* an action */
    uint32_t failed; /* which one */
    char subject[ERROR_PLACE_LEN];
};

/* Of a name that no bitmap can have, as much as shows that. */
static bool merged_take(struct command_job *job, instar_BitmapAction *action, const char *name)
{
    instar_BitmapRequest *request = &job->message.operation.bitmap;
    size_t len = strnlen(name, sizeof(request->name.bytes));
    if (len > sizeof(request->merged.bytes) - request->merged.size) {
        return error_set(&job->error, ERROR_LIMIT, NULL, "the names of bitmaps to merge have more than %zu bytes",
                         sizeof(request->merged.bytes));
    }
    memcpy(request->merged.bytes + request->merged.size, name, len);
    request->merged.size += (pb_size_t)len;
    action->merged_len = (uint32_t)len;
    return true;
}

static bool action_take(struct bitmap *bitmap, int code, const char *value)
{
    instar_BitmapRequest *request = &bitmap->job.message.operation.bitmap;
    if (request->actions_count == ARRAY_COUNT(request->actions)) {
        return error_set(&bitmap->job.error, ERROR_LIMIT, NULL, "more than %zu actions on one bitmap",
                         ARRAY_COUNT(request->actions));
    }
    instar_BitmapAction *action = &request->actions[request->actions_count++];
    action->kind = (instar_BitmapActionKind)(code - OPTION_ADD);
    bitmap->adds = bitmap->adds || code == OPTION_ADD;
    if (code == OPTION_MERGE) {
        bitmap->merges = true;
        return merged_take(&bitmap->job, action, value);
    }
    return true;
}

static bool option_take(struct bitmap *bitmap, int code)
{
    struct command_job *job = &bitmap->job;
    switch (code) {
    case '?':
        return false;
    case 'b':
        bitmap->source_file = optarg;
        return true;
    case 'F':
        bitmap->source_format = optarg;
        return true;
    case 'g':
        return size_argument_parse("granularity", optarg, &job->message.operation.bitmap.granularity, &job->error);
    default:
        return code >= OPTION_ADD && code <= OPTION_MERGE
                   ? action_take(bitmap, code, optarg)
                   : image_options_take(&job->options, code, optarg, &job->error);
    }
}

/* In qemu-img's order and words. */
static bool arguments_check(const struct bitmap *bitmap, int left, struct error *error)
{
    const instar_BitmapRequest *request = &bitmap->job.message.operation.bitmap;
    const char *problem = NULL;
    if (request->actions_count == 0) {
        problem = "Need at least one of --add, --remove, --clear, --enable, --disable, or --merge";
    } else if (left != 2) {
        problem = "Expecting filename and bitmap name";
    } else if (request->granularity != 0 && !bitmap->adds) {
        problem = "granularity only supported with --add";
    } else if (bitmap->source_format != NULL && bitmap->source_file == NULL) {
        problem = "-F only supported with -b";
    } else if (bitmap->source_file != NULL && !bitmap->merges) {
        problem = "Merge bitmap source file only supported with --merge";
    }
    return problem == NULL || error_set(error, ERROR_USAGE, NULL, "%s", problem);
}

/* The image, which is written, and the one that has the bitmaps to merge. */
static bool sources_add(struct bitmap *bitmap, const char *file)
{
    struct command_job *job = &bitmap->job;
    job->writes_source = true;
    RETURN_IF_FAILED(command_job_add_source(job, file, job->options.format));
    job->options.use_image_opts = false; /* it is FILE that they name */
    return bitmap->source_file == NULL || command_job_add_source(job, bitmap->source_file, bitmap->source_format);
}

static bool arguments_take(struct bitmap *bitmap, int argc, char **argv)
{
    struct command_job *job = &bitmap->job;
    instar_BitmapRequest *request = &job->message.operation.bitmap;
    job->message.which_operation = instar_ImageJob_bitmap_tag;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":b:f:F:g:h", bitmap_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(bitmap, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    const char *name = argc - optind == 2 ? argv[optind + 1] : "";
    request->name.size = (pb_size_t)strnlen(name, sizeof(request->name.bytes));
    memcpy(request->name.bytes, name, request->name.size);
    return arguments_check(bitmap, argc - optind, &job->error) && sources_add(bitmap, argv[optind]);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct bitmap *bitmap = context;
    if (message->which_kind != instar_GuestMessage_bitmap_tag || bitmap->has_failed ||
        message->kind.bitmap.action >= bitmap->job.message.operation.bitmap.actions_count) {
        return command_job_unexpected(message, error);
    }
    bitmap->has_failed = true;
    bitmap->failed = message->kind.bitmap.action;
    return true;
}

/* What is wrong with the bitmap has no place; what is wrong with an image has. */
static void bitmap_run(struct bitmap *bitmap)
{
    static const char *const verbs[] = {"add", "remove", "clear", "enable", "disable", "merge"};
    struct command_job *job = &bitmap->job;
    const instar_BitmapRequest *request = &job->message.operation.bitmap;
    job->message.operation.bitmap.sync = job->options.machine.job.sync;
    bool success = command_job_run(job, JOB_CONVERT, message_take, bitmap);
    if (success && bitmap->has_failed) {
        error_fill(&job->error, ERROR_GUEST, NULL, "the guest could not do it, and did not say why");
    } else if (bitmap->has_failed && job->error.place[0] == '\0' && !job->result.is_opening) {
        snprintf(bitmap->subject, sizeof(bitmap->subject), "Operation %s on bitmap %.*s failed",
                 verbs[request->actions[bitmap->failed].kind],
                 (int)request->name.size < (int)sizeof(bitmap->subject) - 64 ? (int)request->name.size
                                                                             : (int)sizeof(bitmap->subject) - 64,
                 (const char *)request->name.bytes);
        job->subject = bitmap->subject;
    }
}

int command_bitmap(int argc, char **argv)
{
    static struct bitmap bitmap;
    command_job_init(&bitmap.job);
    if (arguments_take(&bitmap, argc, argv) && !command_job_explain(&bitmap.job, bitmap_help)) {
        bitmap_run(&bitmap);
    }
    return command_job_end(&bitmap.job, EXIT_OK, EXIT_ERROR);
}
