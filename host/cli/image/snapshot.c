/* SPDX-License-Identifier: Apache-2.0 */
/* `snapshot -l`: the internal snapshots of an image. */
#include <stdio.h>

#include "host/cli/command.h"
#include "host/cli/image/detail_reader.h"
#include "host/cli/image/image_job.h"
#include "host/cli/image/snapshot_table.h"
#include "host/cli/report.h"

static const struct option snapshot_options[] = {
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char snapshot_help[] = "Usage: instar snapshot [-l] [OPTION]... FILE\n"
                                    "List the internal snapshots of a disk image.\n"
                                    "\n"
                                    "Options:\n"
                                    "  -l                       list them\n"
                                    "  -a, -c, -d NAME          go back to, create, delete one: not supported yet\n"
                                    "  -q                       accepted\n"
                                    "  -U, --force-share        also when the image is in use\n"
                                    "  -h                       show this text\n";

struct snapshot {
    struct image_job job;
    struct value_tree tree;
    struct detail_reader reader;
    unsigned int image_count;
    int action; /* the option's letter, 0: none */
};

static bool action_take(struct snapshot *snapshot, int code)
{
    struct image_job *job = &snapshot->job;
    if (snapshot->action != 0) {
        return image_options_fail(&job->options, &job->error, "Cannot mix '-l', '-a', '-c', '-d'");
    }
    snapshot->action = code;
    return true;
}

static bool arguments_take(struct snapshot *snapshot, int argc, char **argv)
{
    struct image_job *job = &snapshot->job;
    job->message.which_operation = instar_ImageJob_info_tag;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":la:c:d:hqU", snapshot_options, &job->error)) != -1) {
        bool is_action = code == 'l' || code == 'a' || code == 'c' || code == 'd';
        if (code == '?' || (is_action && !action_take(snapshot, code)) ||
            (!is_action && !image_options_take(&job->options, code, optarg, &job->error))) {
            return false;
        }
    }
    RETURN_IF_FAILED(image_job_add_operand(job, argc, argv));
    if (job->source_count == 0) {
        return true; /* help is wanted */
    }
    if (snapshot->action != 0 && snapshot->action != 'l') {
        return error_set(&job->error, ERROR_UNSUPPORTED, NULL, "snapshot -%c is not supported yet", snapshot->action);
    }
    if (snapshot->action == 0 && job->options.force_share) {
        return error_set(&job->error, ERROR_USAGE, NULL,
                         "Could not open '%.100s': force-share=on can only be used with read-only images",
                         job->sources[0].text);
    }
    return true;
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct snapshot *snapshot = context;
    if (message->which_kind == instar_GuestMessage_info_tag && snapshot->image_count == 0) {
        snapshot->image_count++;
        /* qemu-img opens the image for more than this, and so needs its key. */
        return !message->kind.info.encrypted ||
               error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Could not open '%s': the image is encrypted: reading encrypted data is not supported yet",
                         snapshot->job.sources[0].path);
    }
    if (message->which_kind == instar_GuestMessage_detail_tag && snapshot->image_count > 0) {
        return detail_reader_take(&snapshot->reader, &message->kind.detail, error);
    }
    return image_job_unexpected(message, error);
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

static void snapshot_run(struct snapshot *snapshot)
{
    struct image_job *job = &snapshot->job;
    value_tree_init(&snapshot->tree);
    detail_reader_init(&snapshot->reader, &snapshot->tree, &snapshot->tree.root, &snapshot->job.result);
    bool success = image_job_run(job, JOB_INSPECT, message_take, snapshot) && result_print(snapshot, &job->error);
    (void)success; /* job.error says it */
    value_tree_release(&snapshot->tree);
}

int command_snapshot(int argc, char **argv)
{
    static struct snapshot snapshot;
    image_job_init(&snapshot.job);
    if (arguments_take(&snapshot, argc, argv) && !image_job_explain(&snapshot.job, snapshot_help)) {
        snapshot_run(&snapshot);
    }
    return image_job_end(&snapshot.job, EXIT_OK, EXIT_ERROR);
}
