/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a new image without content. */
#include <string.h>

#include "base/checked.h"
#include "guest/image/target.h"
#include "guest/operations/image_job.h"

#define SECTOR_LEN 512u

/* The size that is asked for, or the backing file's; in whole sectors, as QEMU rounds it. */
static bool choose_size(struct image_job *job, const instar_CreateRequest *request, uint64_t *ret_len,
                        struct error *error)
{
    uint64_t len = request->size;
    if (!request->has_size) {
        if (job->source_count == 0) {
            return error_set(error, ERROR_USAGE, NULL, "Image creation needs a size parameter");
        }
        struct image *backing;
        RETURN_IF_FAILED(image_job_open(job, 0, IMAGE_TO_READ, &backing, error));
        len = backing->virtual_len;
    }
    if (!checked_round_up(len, SECTOR_LEN, &len) || len > INT64_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "the image size is too large");
    }
    *ret_len = len;
    return true;
}

bool operation_create(struct image_job *job, struct error *error)
{
    const instar_CreateRequest *request = &job->message->operation.create;
    struct target_setup setup = {
        .environment = job->environment,
        .file = job->target,
        .data_file = job->target_data,
        .options = request->options,
        .option_count = request->options_count,
        .backing_format = request->backing_format,
        .compression_level = TARGET_LEVEL_DEFAULT,
    };
    RETURN_IF_FAILED(choose_size(job, request, &setup.virtual_len, error));
    if (!target_name_set(&setup.backing_name, request->backing_file.bytes, request->backing_file.size) ||
        !target_name_set(&setup.data_name, request->data_file.bytes, request->data_file.size)) {
        return error_set(error, ERROR_USAGE, NULL, "the name of a file is longer than %u bytes", FILE_NAME_LEN_MAX);
    }
    struct target *target;
    RETURN_IF_FAILED(target_create(request->target_format, &setup, &target, error));
    return target->operations->finish(target, request->sync, error);
}
