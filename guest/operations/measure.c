/* SPDX-License-Identifier: Apache-2.0 */
/* How long a file a new image would be, in a format that says so: of an empty disk, or of what a source has. */
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

bool operation_measure(struct image_job *job, struct error *error)
{
    static instar_GuestMessage message; /* large */
    const instar_MeasureRequest *request = &job->message->operation.measure;
    struct measure_request measure = {
        .environment = job->environment,
        .virtual_len = request->size,
        .options = request->options,
        .option_count = request->options_count,
    };
    if (!request->has_size) {
        RETURN_IF_FAILED(image_job_open(job, 0, IMAGE_TO_READ, &measure.source, error));
        measure.virtual_len = measure.source->virtual_len;
    }
    const struct format *format = format_find(request->target_format);
    if (format == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown file format '%s'", request->target_format);
    }
    if (format->measure == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Block driver '%s' does not support size measurement",
                         format->name);
    }
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_measure_tag};
    RETURN_IF_FAILED(format->measure(&measure, &message.kind.measure, error));
    messages_send(&message);
    return true;
}
