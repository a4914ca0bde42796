/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/image_job.h"

/* Makes the image show a snapshot. */
static bool select_snapshot(struct image *image, const instar_SnapshotChoice *choice, struct error *error)
{
    if (image->format->select_snapshot == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "Failed to load snapshot: Block format '%s' used by device '' does not support temporarily "
                         "loading internal snapshots",
                         image->format->name);
    }
    return image->format->select_snapshot(image, choice, error);
}

/* The part of the file that the image is, if it is not all of it. */
static bool set_window(const struct image_job *job, uint32_t source, struct error *error)
{
    for (pb_size_t i = 0; i < job->message->windows_count; i++) {
        const instar_FileWindow *window = &job->message->windows[i];
        if (window->source == source) {
            return file_set_window(job->sources[source], window->off, window->has_len, window->len, error);
        }
    }
    return true;
}

bool image_job_open_alone(struct image_job *job, uint32_t source, enum image_purpose purpose, struct image **ret_image,
                          struct error *error)
{
    if (source >= job->source_count) {
        return error_set(error, ERROR_USAGE, NULL, "the job has no image number %u", source);
    }
    const instar_ImageSource *message = &job->message->sources[source];
    struct image_setup setup = {
        .environment = job->environment,
        .file = job->sources[source],
        .format = message->format,
        .name = {message->name_end.bytes, message->name_end.size},
        .purpose = purpose,
    };
    job->is_opening = true;
    RETURN_IF_FAILED(set_window(job, source, error));
    RETURN_IF_FAILED(image_open(&setup, ret_image, error));
    job->is_opening = false;
    return true;
}

bool image_job_open(struct image_job *job, uint32_t source, enum image_purpose purpose, struct image **ret_image,
                    struct error *error)
{
    struct image *image;
    RETURN_IF_FAILED(image_job_open_alone(job, source, purpose, &image, error));
    job->is_opening = true;
    image->backing_name.is_set = image->backing_name.is_set && !job->message->sources[source].without_backing;
    RETURN_IF_FAILED(image_open_chain(image, error));
    if (job->message->has_snapshot) {
        RETURN_IF_FAILED(select_snapshot(image, &job->message->snapshot, error));
    }
    job->is_opening = false;
    *ret_image = image;
    return true;
}

bool image_job_run(struct image_job *job, struct error *error)
{
    job->environment->io = job->io;
    for (const struct operation *operation = operations; operation->name != NULL; operation++) {
        if (operation->tag == job->message->which_operation) {
            return operation->run(job, error);
        }
    }
    return error_set(error, ERROR_UNSUPPORTED, NULL, "this operation (%u) is not supported yet",
                     (unsigned int)job->message->which_operation);
}
