/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/job_outputs.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4u

static bool room_make(struct job_outputs *outputs, struct error *error)
{
    if (outputs->count < outputs->room) {
        return true;
    }
    unsigned int room = outputs->room > 0 ? 2 * outputs->room : ROOM_MIN;
    struct job_output *list = realloc(outputs->list, room * sizeof(*list));
    if (list == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    outputs->list = list;
    outputs->room = room;
    return true;
}

bool job_outputs_add(struct job_outputs *outputs, const struct job_output *output, struct error *error)
{
    if (outputs->count == JOB_FURTHER_OUTPUT_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "the image would consist of more than %u files",
                         JOB_FURTHER_OUTPUT_MAX);
    }
    if (!room_make(outputs, error)) {
        return false;
    }
    struct job_output *added = &outputs->list[outputs->count];
    *added = *output;
    added->own_path = strdup(output->image.path);
    if (added->own_path == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    added->image.path = added->own_path;
    outputs->count++;
    return true;
}

void job_outputs_release(struct job_outputs *outputs)
{
    for (unsigned int i = 0; i < outputs->count; i++) {
        free(outputs->list[i].own_path);
    }
    free(outputs->list);
    *outputs = (struct job_outputs){0};
}

const struct job_output *job_outputs_find(const struct job_outputs *outputs, enum job_output_role role,
                                          unsigned int *ret_number)
{
    for (unsigned int i = 0; i < outputs->count; i++) {
        if (outputs->list[i].role == role) {
            *ret_number = i + 1;
            return &outputs->list[i];
        }
    }
    return NULL;
}

enum backend_kind job_outputs_backend(const struct job_image *image, unsigned int number)
{
    bool is_asynchronous = image->backend == BACKEND_IO_URING || image->backend == BACKEND_MMAP;
    return number >= JOB_OWN_OUTPUT_MAX && is_asynchronous ? BACKEND_REGULAR : image->backend;
}
