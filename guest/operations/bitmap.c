/* SPDX-License-Identifier: Apache-2.0 */
/* Adds, removes or changes a persistent bitmap, where the image is. */
#include "base/attributes.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

_Static_assert(ARRAY_COUNT(((instar_BitmapRequest *)0)->actions) <= BITMAP_ACTIONS_MAX, "all of them are taken");

static bool actions_take(const instar_BitmapRequest *request, struct bitmap_action *ret_actions, struct error *error)
{
    static const enum bitmap_action_kind kinds[] = {
        [instar_BitmapActionKind_BITMAP_ACTION_ADD] = BITMAP_ADD,
        [instar_BitmapActionKind_BITMAP_ACTION_REMOVE] = BITMAP_REMOVE,
        [instar_BitmapActionKind_BITMAP_ACTION_CLEAR] = BITMAP_CLEAR,
        [instar_BitmapActionKind_BITMAP_ACTION_ENABLE] = BITMAP_ENABLE,
        [instar_BitmapActionKind_BITMAP_ACTION_DISABLE] = BITMAP_DISABLE,
        [instar_BitmapActionKind_BITMAP_ACTION_MERGE] = BITMAP_MERGE,
    };
    uint32_t pos = 0;
    for (pb_size_t i = 0; i < request->actions_count; i++) {
        const instar_BitmapAction *action = &request->actions[i];
        if ((uint32_t)action->kind >= ARRAY_COUNT(kinds) || action->merged_len > request->merged.size - pos) {
            return error_set(error, ERROR_USAGE, NULL, "the job has no such action");
        }
        ret_actions[i] = (struct bitmap_action){
            .kind = kinds[action->kind], .merged = request->merged.bytes + pos, .merged_len = action->merged_len};
        pos += action->merged_len;
    }
    return true;
}

/* Of a format without bitmaps, in qemu-img's words. */
static bool refuse(const struct bitmap_plan *plan, struct error *error)
{
    return plan->actions[0].kind == BITMAP_ADD
               ? error_set(error, ERROR_UNSUPPORTED, NULL, "Can't store persistent bitmaps: Operation not supported")
               : error_set(error, ERROR_USAGE, NULL, "Dirty bitmap '%.*s' not found", (int)plan->name_len,
                           (const char *)plan->name);
}

bool operation_bitmap(struct image_job *job, struct error *error)
{
    static struct bitmap_action actions[BITMAP_ACTIONS_MAX];
    static instar_GuestMessage message; /* large */
    const instar_BitmapRequest *request = &job->message->operation.bitmap;
    struct bitmap_plan plan = {
        .name = request->name.bytes,
        .name_len = request->name.size,
        .granularity = request->granularity,
        .actions = actions,
        .action_count = request->actions_count,
        .sync = request->sync,
    };
    struct image *image;
    uint32_t done_count = 0;
    if (job->source_count == 0 || request->actions_count == 0) {
        return error_set(error, ERROR_USAGE, NULL, "the job has no image, or nothing to do");
    }
    RETURN_IF_FAILED(actions_take(request, actions, error));
    RETURN_IF_FAILED(image_job_open_alone(job, 0, IMAGE_TO_CHANGE, &image, error));
    if (job->source_count > 1) {
        RETURN_IF_FAILED(image_job_open_alone(job, 1, IMAGE_TO_READ, &plan.merge_image, error));
    }
    bool success = image->format->change_bitmap != NULL ? image->format->change_bitmap(image, &plan, &done_count, error)
                                                        : refuse(&plan, error);
    if (!success && done_count < plan.action_count) {
        message = (instar_GuestMessage){.which_kind = instar_GuestMessage_bitmap_tag};
        message.kind.bitmap.action = done_count;
        messages_send(&message);
    }
    return success;
}
