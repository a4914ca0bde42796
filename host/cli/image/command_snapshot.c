/* SPDX-License-Identifier: Apache-2.0 */
/* `snapshot`: the internal snapshots of an image are listed, or changed. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/print/detail_reader.h"
#include "host/cli/image/print/snapshot_table.h"
#include "host/cli/report.h"

static const struct option snapshot_options[] = {
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char snapshot_help[] = "Usage: instar snapshot [-l | -a NAME | -c NAME | -d NAME] [OPTION]... FILE\n"
                                    "List the internal snapshots of a disk image, or change them where the image is.\n"
                                    "\n"
                                    "Options:\n"
                                    "  -l                       list them\n"
                                    "  -a NAME                  the disk becomes what it was; also with an id\n"
                                    "  -c NAME                  create one\n"
                                    "  -d NAME                  delete the first one with this name\n"
                                    "  -q                       accepted\n"
                                    "  -U, --force-share        also when the image is in use\n"
                                    "  -h                       show this text\n";

struct snapshot {
    struct command_job job;
    struct value_tree tree;
    struct detail_reader reader;
    unsigned int image_count;
    int action;       /* the option's letter, 0: none */
    const char *name; /* of the snapshot to change */
};

static bool action_take(struct snapshot *snapshot, int code)
{
    struct command_job *job = &snapshot->job;
    if (snapshot->action != 0) {
        return image_options_fail(&job->options, &job->error, "Cannot mix '-l', '-a', '-c', '-d'");
    }
    snapshot->action = code;
    snapshot->name = optarg;
    return true;
}

static bool changes(const struct snapshot *snapshot)
{
    return snapshot->action != 0 && snapshot->action != 'l';
}

/* The job is another one than to list them. Longer names are cut, as by qemu-img. */
static void request_make(struct snapshot *snapshot)
{
    struct command_job *job = &snapshot->job;
    instar_SnapshotRequest *request = &job->message.operation.snapshots;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    job->message.which_operation = instar_ImageJob_snapshots_tag;
    job->writes_source = true;
    job->has_second_guess = snapshot->action == 'a';
    *request = (instar_SnapshotRequest){
        .action = snapshot->action == 'c'   ? instar_SnapshotAction_SNAPSHOT_ACTION_CREATE
                  : snapshot->action == 'a' ? instar_SnapshotAction_SNAPSHOT_ACTION_APPLY
                                            : instar_SnapshotAction_SNAPSHOT_ACTION_DELETE,
        .date_sec = (uint32_t)now.tv_sec,
        .date_nsec = (uint32_t)(now.tv_nsec / 1000 * 1000), /* as exact as qemu-img's */
        .sync = job->options.machine.job.sync,
    };
    request->name.size = (pb_size_t)strnlen(snapshot->name, sizeof(request->name.bytes));
    memcpy(request->name.bytes, snapshot->name, request->name.size);
}

static bool arguments_take(struct snapshot *snapshot, int argc, char **argv)
{
    struct command_job *job = &snapshot->job;
    job->message.which_operation = instar_ImageJob_info_tag;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":la:c:d:hqU", snapshot_options, &job->error)) != -1) {
        bool is_action = code == 'l' || code == 'a' || code == 'c' || code == 'd';
        if (code == '?' || (is_action && !action_take(snapshot, code)) ||
            (!is_action && !image_options_take(&job->options, code, optarg, &job->error))) {
            return false;
        }
    }
    RETURN_IF_FAILED(command_job_add_operand(job, argc, argv));
    if (job->source_count == 0) {
        return true; /* help is wanted */
    }
    if (changes(snapshot)) {
        request_make(snapshot);
    }
    if (snapshot->action != 'l' && job->options.force_share) {
        return error_set(&job->error, ERROR_USAGE, NULL,
                         "Could not open '%.100s': force-share=on can only be used with read-only images",
                         job->sources[0].text);
    }
    /* The name may come before the option that says that it is written to. */
    return snapshot->action == 'l' || image_name_is_target(&job->sources[0], &job->error);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct snapshot *snapshot = context;
    if (message->which_kind == instar_GuestMessage_info_tag && snapshot->image_count == 0) {
        snapshot->image_count++;
        /* qemu-img opens the image for more than this, and so needs its key. */
        return !message->kind.info.encrypted || snapshot->job.sources[0].has_key_secret ||
               error_set(error, ERROR_USAGE, NULL,
                         "Could not open '%s': Parameter 'encrypt.key-secret' is required for cipher",
                         snapshot->job.sources[0].text);
    }
    if (message->which_kind == instar_GuestMessage_detail_tag && snapshot->image_count > 0) {
        return detail_reader_take(&snapshot->reader, &message->kind.detail, error);
    }
    return command_job_unexpected(message, error);
}

static bool result_print(const struct snapshot *snapshot, struct error *error)
{
    RETURN_IF_FAILED(detail_reader_check(&snapshot->reader, error));
    const struct value *list = value_member(&snapshot->tree.root, "snapshots", VALUE_LIST);
    /* Without -l, qemu-img opens the image and says nothing. */
    if (snapshot->action == 'l' && list != NULL && list->count > 0) {
        snapshot_table_print(stdout, list);
    }
    return true;
}

static bool unexpected(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return command_job_unexpected(message, error);
}

/* What is wrong with the snapshot has no place; what is wrong with the image has. */
static void change_run(struct snapshot *snapshot)
{
    struct command_job *job = &snapshot->job;
    const char *verb = snapshot->action == 'c' ? "create" : snapshot->action == 'a' ? "apply" : "delete";
    if (!command_job_run(job, JOB_CONVERT, unexpected, NULL) && job->error.place[0] == '\0' &&
        (job->error.kind == ERROR_USAGE || job->error.kind == ERROR_UNSUPPORTED || job->error.kind == ERROR_LIMIT ||
         job->error.kind == ERROR_MALFORMED)) {
        struct error cause = job->error;
        job->error = (struct error){0};
        error_fill(&job->error, cause.kind, NULL, "Could not %s snapshot '%.150s': %.100s", verb, snapshot->name,
                   cause.detail);
    }
}

static void snapshot_run(struct snapshot *snapshot)
{
    if (changes(snapshot)) {
        change_run(snapshot);
        return;
    }
    struct command_job *job = &snapshot->job;
    value_tree_init(&snapshot->tree);
    detail_reader_init(&snapshot->reader, &snapshot->tree, &snapshot->tree.root, &snapshot->job.result);
    bool success = command_job_run(job, JOB_INSPECT, message_take, snapshot) && result_print(snapshot, &job->error);
    (void)success; /* job.error says it */
    value_tree_release(&snapshot->tree);
}

int command_snapshot(int argc, char **argv)
{
    static struct snapshot snapshot;
    command_job_init(&snapshot.job);
    if (arguments_take(&snapshot, argc, argv) && !command_job_explain(&snapshot.job, snapshot_help)) {
        snapshot_run(&snapshot);
    }
    return command_job_end(&snapshot.job, EXIT_OK, EXIT_ERROR);
}
