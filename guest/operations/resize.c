/* SPDX-License-Identifier: Apache-2.0 */
/* Makes an image's disk longer or shorter, where the image is. */
#include <string.h>

#include "base/checked.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

/* The new length, under qemu-img's rules, in its order and words. */
static bool choose_len(const struct image *image, const instar_ResizeRequest *request, struct resize_plan *plan,
                       struct error *error)
{
    uint64_t change = request->change < 0 ? -(uint64_t)request->change : (uint64_t)request->change;
    uint64_t len = request->size;
    if (request->relative && request->change < 0) {
        len = change < image->virtual_len ? image->virtual_len - change : 0;
    } else if (request->relative && !checked_add(image->virtual_len, change, &len)) {
        len = UINT64_MAX;
    }
    if (len == 0) {
        return error_set(error, ERROR_USAGE, NULL, "New image size must be positive");
    }
    if (len > INT64_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "the image size is too large");
    }
    if (len <= image->virtual_len && plan->preallocation != RESIZE_PREALLOCATE_OFF) {
        return error_set(error, ERROR_USAGE, NULL, "Preallocation can only be used for growing images");
    }
    if (len < image->virtual_len && !request->shrink) {
        return error_set_reason(error, ERROR_REASON_SHRINK, ERROR_USAGE, NULL,
                                "Use the --shrink option to perform a shrink operation.");
    }
    plan->virtual_len = len;
    return true;
}

static bool choose_preallocation(const instar_ResizeRequest *request, enum resize_preallocation *ret_mode,
                                 struct error *error)
{
    static const char *const names[] = {"off", "metadata", "falloc", "full"};
    static const enum resize_preallocation modes[] = {RESIZE_PREALLOCATE_OFF, RESIZE_PREALLOCATE_METADATA,
                                                      RESIZE_PREALLOCATE_FALLOC, RESIZE_PREALLOCATE_FULL};
    if (request->preallocation[0] == '\0') {
        *ret_mode = RESIZE_PREALLOCATE_OFF;
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(request->preallocation, names[i]) == 0) {
            *ret_mode = modes[i];
            return true;
        }
    }
    return error_set(error, ERROR_USAGE, NULL, "Invalid preallocation mode '%s'", request->preallocation);
}

/*
 * A disk that grows would show more of the image behind it, instead of zeros. How far that one reaches it tells itself;
 * where it cannot be opened, everything new is made zeros. Only a cluster in which the old end lies takes data from
 * there.
 */
bool image_job_look_behind(struct image_job *job, struct image *image, uint64_t new_len, struct error *error)
{
    if (image->backing != NULL || !image->backing_name.is_set || new_len <= image->virtual_len) {
        return true;
    }
    if (image->cluster_len != 0 && image->virtual_len % image->cluster_len != 0) {
        job->is_opening = true;
        RETURN_IF_FAILED(image_open_chain(image, error));
        job->is_opening = false;
        return true;
    }
    struct error problem = {0};
    if (!image->environment->leads_nowhere && !image_look_behind(image, &problem)) {
        image->backing = NULL;
    }
    return true;
}

/* Further files that the image may get. */
static bool take_new_files(const struct image_job *job, struct resize_plan *plan, struct error *error)
{
    const instar_ResizeRequest *request = &job->message->operation.resize;
    if (request->new_part_count > job->further_target_count || request->new_part_first > INT32_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "the job has fewer files than it says");
    }
    plan->new_count = request->new_part_count;
    plan->new_first = request->new_part_first;
    plan->new_files = job->further_targets + (job->further_target_count - plan->new_count);
    plan->name = (struct span){job->message->identity.name.bytes, job->message->identity.name.size};
    return true;
}

bool operation_resize(struct image_job *job, struct error *error)
{
    static instar_GuestMessage message; /* large */
    const instar_ResizeRequest *request = &job->message->operation.resize;
    struct image *image;
    struct resize_plan plan = {.sync = request->sync};
    RETURN_IF_FAILED(choose_preallocation(request, &plan.preallocation, error) && take_new_files(job, &plan, error));
    RETURN_IF_FAILED(image_job_open_change(job, &image, error));
    RETURN_IF_FAILED(choose_len(image, request, &plan, error));
    if (image->format->resize == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Image format driver does not support resize");
    }
    /* A shrink throws data away before it can fail. */
    RETURN_IF_FAILED(plan.virtual_len >= image->virtual_len || image_require_sound(image, error));
    RETURN_IF_FAILED(image_job_look_behind(job, image, plan.virtual_len, error));
    RETURN_IF_FAILED(image->format->resize(image, &plan, error));
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_resize_tag};
    message.kind.resize.size = plan.virtual_len;
    messages_send(&message);
    return true;
}
