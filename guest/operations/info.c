/* SPDX-License-Identifier: Apache-2.0 */
/* What an image says about itself, and its backing files if that is wanted. */
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

static void describe_backing(const struct image *image, instar_InfoMessage *info)
{
    const struct file_name *name = &image->backing_name;
    info->has_backing_file = name->is_set;
    info->backing_file.size = (pb_size_t)min_u64(name->len, sizeof(info->backing_file.bytes));
    memcpy(info->backing_file.bytes, name->bytes, info->backing_file.size);
    size_t format_len = strnlen(image->backing_format, sizeof(image->backing_format));
    info->has_backing_format = name->is_set && format_len > 0;
    info->backing_format.size = (pb_size_t)min_u64(format_len, sizeof(info->backing_format.bytes));
    memcpy(info->backing_format.bytes, image->backing_format, info->backing_format.size);
}

static bool describe(struct image *image, struct error *error)
{
    static instar_GuestMessage message; /* large */
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_info_tag};
    instar_InfoMessage *info = &message.kind.info;
    info->device = image->file->device;
    text_copy(info->format, sizeof(info->format), image->format->name);
    info->virtual_size = image->virtual_len;
    info->cluster_size = image->cluster_len;
    info->further_storage = image->further_allocated_len;
    info->encrypted = image->is_encrypted;
    info->has_dirty_flag = image->has_dirty_flag;
    info->dirty_flag = image->is_dirty;
    describe_backing(image, info);
    messages_post(&message);
    return image->format->describe == NULL || image->format->describe(image, error);
}

bool operation_info(struct image_job *job, struct error *error)
{
    struct image *image;
    RETURN_IF_FAILED(image_job_open_alone(job, 0, IMAGE_TO_DESCRIBE, &image, error));
    if (image->is_part) {
        return describe(image, error); /* nothing is behind it, as in QEMU */
    }
    if (job->message->operation.info.backing_chain) {
        job->is_opening = true;
        RETURN_IF_FAILED(image_open_chain(image, error));
        job->is_opening = false;
    }
    for (; image != NULL; image = image->backing) { /* ends: a chain has IMAGE_CHAIN_MAX images at most */
        RETURN_IF_FAILED(describe(image, error));
    }
    return true;
}
