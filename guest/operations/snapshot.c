/* SPDX-License-Identifier: Apache-2.0 */
/* Creates, applies or deletes an internal snapshot, where the image is. */
#include "base/checked.h"
#include "guest/operations/job/image_job.h"

bool operation_snapshot(struct image_job *job, struct error *error)
{
    const instar_SnapshotRequest *request = &job->message->operation.snapshots;
    static const enum snapshot_action actions[] = {
        [instar_SnapshotAction_SNAPSHOT_ACTION_CREATE] = SNAPSHOT_CREATE,
        [instar_SnapshotAction_SNAPSHOT_ACTION_APPLY] = SNAPSHOT_APPLY,
        [instar_SnapshotAction_SNAPSHOT_ACTION_DELETE] = SNAPSHOT_DELETE,
    };
    static const char *const unsupported[] = {
        [SNAPSHOT_CREATE] = "-95 (Operation not supported)",
        [SNAPSHOT_APPLY] = "Block driver does not support snapshots",
        [SNAPSHOT_DELETE] = "snapshot not found",
    };
    struct image *image;
    if ((uint32_t)request->action >= ARRAY_COUNT(actions)) {
        return error_set(error, ERROR_USAGE, NULL, "the job has no such action");
    }
    struct snapshot_plan plan = {
        .action = actions[request->action],
        .name = request->name.bytes,
        .name_len = request->name.size,
        .date_sec = request->date_sec,
        .date_nsec = request->date_nsec,
        .sync = request->sync,
    };
    RETURN_IF_FAILED(image_job_open_alone(job, 0, IMAGE_TO_CHANGE, &image, error));
    if (image->format->change_snapshots == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "%s", unsupported[plan.action]);
    }
    return image_require_sound(image, error) && image->format->change_snapshots(image, &plan, error);
}
