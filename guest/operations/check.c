/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an image's own structures, as far as its format can tell. */
#include "base/text.h"
#include "guest/operations/image_job.h"
#include "guest/runtime/messages.h"

bool operation_check(struct image_job *job, struct error *error)
{
    static instar_GuestMessage message; /* large */
    struct image *image;
    RETURN_IF_FAILED(image_job_open_alone(job, 0, IMAGE_TO_CHECK, &image, error));
    if (image->is_encrypted) {
        /* Nothing of what is checked is encrypted, but QEMU opens no such image without its key. */
        return error_set(error, ERROR_UNSUPPORTED, image->file->name,
                         "the image is encrypted: reading encrypted data is not supported yet");
    }
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_check_tag};
    instar_CheckMessage *result = &message.kind.check;
    text_copy(result->format, sizeof(result->format), image->format->name);
    if (image->format->check == NULL) {
        result->unsupported = true;
    } else if (!image->format->check(image, job->message->operation.check.findings_max, result, error)) {
        messages_flush(); /* what was found until then */
        return false;
    }
    messages_send(&message);
    return true;
}
