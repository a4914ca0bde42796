/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a new image without content. */
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "base/units.h"
#include "guest/image/write/target.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

/* Looks at the backing file, if there is one to look at. */
static bool look_behind(struct image_job *job, instar_CreateMessage *message, struct image **ret_backing,
                        struct error *error)
{
    const instar_CreateRequest *request = &job->message->operation.create;
    message->size = request->size;
    if (job->source_count > 0) {
        struct image *backing;
        /* Its size and format, which are there without a key. */
        RETURN_IF_FAILED(image_job_open_alone(job, 0, IMAGE_TO_DESCRIBE, &backing, error));
        text_copy(message->backing_format, sizeof(message->backing_format), backing->format->name);
        message->size = request->has_size ? request->size : backing->virtual_len;
        *ret_backing = backing;
    } else if (!request->has_size) {
        return error_set(error, ERROR_USAGE, NULL, "Image creation needs a size parameter");
    }
    return true;
}

/* In whole sectors, as QEMU rounds it. */
static bool round_size(uint64_t size, uint64_t *ret_len, struct error *error)
{
    uint64_t len;
    if (!checked_round_up(size, SECTOR_LEN, &len) || len > INT64_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "the image size is too large");
    }
    *ret_len = len;
    return true;
}

/* Tells the host what the image is going to be. */
static bool announce(struct image_job *job, uint64_t *ret_len, struct image **ret_backing, struct error *error)
{
    const instar_CreateRequest *request = &job->message->operation.create;
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_create_tag};
    RETURN_IF_FAILED(look_behind(job, &message.kind.create, ret_backing, error));
    messages_send(&message);
    if (request->backing_file.size > 0 && request->backing_format[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "Backing file specified without backing format");
    }
    return round_size(message.kind.create.size, ret_len, error);
}

bool operation_create(struct image_job *job, struct error *error)
{
    const instar_CreateRequest *request = &job->message->operation.create;
    struct target_setup setup = {
        .environment = job->environment,
        .file = job->target,
        .further_files = job->further_targets,
        .further_file_count = job->further_target_count,
        .options = request->options,
        .option_count = request->options_count,
        .backing_format = request->backing_format,
        .identity = &job->message->identity,
        .compression.level = TARGET_LEVEL_DEFAULT,
        .is_for_create = true,
    };
    RETURN_IF_FAILED(announce(job, &setup.virtual_len, &setup.backing, error));
    if (!target_name_set(&setup.backing_name, request->backing_file.bytes, request->backing_file.size) ||
        !target_name_set(&setup.data_name, request->data_file.bytes, request->data_file.size)) {
        return error_set(error, ERROR_USAGE, NULL, "the name of a file is longer than %u bytes", FILE_NAME_LEN_MAX);
    }
    struct target *target;
    RETURN_IF_FAILED(target_create(request->target_format, &setup, &target, error));
    return target->operations->finish(target, request->sync, error);
}
