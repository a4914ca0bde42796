/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an image's own structures, as far as its format can tell; and repair. */
#include "base/text.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

static bool check(struct image *image, const instar_CheckRequest *request, instar_CheckMessage *result,
                  struct error *error)
{
    text_copy(result->format, sizeof(result->format), image->format->name);
    if (image->format->check == NULL) {
        result->unsupported = true;
        return true;
    }
    return image->format->check(image, request->findings_max, result, error);
}

/* The message with what was repaired, and another one with what is left. */
static bool repair(struct image *image, const instar_CheckRequest *request, instar_GuestMessage *message,
                   struct error *error)
{
    instar_CheckMessage *result = &message->kind.check;
    const struct repair_plan plan = {
        .fixes_leaks = true,
        .fixes_errors = request->repair == instar_RepairMode_REPAIR_ALL,
        .findings_max = request->findings_max,
    };
    if (image->format->check == NULL) {
        return check(image, request, result, error);
    }
    if (image->format->repair == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "repairing images of format '%s' is not supported yet", image->format->name);
    }
    text_copy(result->format, sizeof(result->format), image->format->name);
    RETURN_IF_FAILED(image->format->repair(image, &plan, result, error));
    if (result->leaks_fixed == 0 && result->corruptions_fixed == 0) {
        return true;
    }
    messages_send(message);
    *result = (instar_CheckMessage){.leaks_fixed = result->leaks_fixed, .corruptions_fixed = result->corruptions_fixed};
    return check(image, request, result, error);
}

bool operation_check(struct image_job *job, struct error *error)
{
    static instar_GuestMessage message; /* large */
    const instar_CheckRequest *request = &job->message->operation.check;
    enum image_purpose purpose = request->repair == instar_RepairMode_REPAIR_ALL ? IMAGE_TO_REPAIR : IMAGE_TO_CHECK;
    struct image *image;
    RETURN_IF_FAILED(image_job_open_alone(job, 0, purpose, &image, error));
    if (request->repair != instar_RepairMode_REPAIR_NONE && image->format->is_read_only) {
        job->is_opening = true; /* as for whatever else changes an image */
        return error_set(error, ERROR_UNSUPPORTED, image->file->name, "Image is read-only");
    }
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_check_tag};
    bool success = request->repair == instar_RepairMode_REPAIR_NONE ? check(image, request, &message.kind.check, error)
                                                                    : repair(image, request, &message, error);
    if (!success) {
        messages_flush(); /* what was found until then */
        return false;
    }
    messages_send(&message);
    return true;
}
