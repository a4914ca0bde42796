/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/openings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "host/job/grant.h"

/* Devices that are there from the start: input and output. */
#define FIRST_LATE_DEVICE 2u

void openings_release(struct openings *openings)
{
    for (unsigned int i = 0; i < openings->granted_count; i++) {
        free(openings->granted_paths[i]);
    }
    openings->granted_count = 0;
}

/* The file whose image names another one; NULL when there is no such device. */
static const char *path_of_device(const struct openings *openings, uint32_t device)
{
    if (device == 0) {
        return openings->job->input.path;
    }
    if (device == 1) {
        return openings->job->output.path;
    }
    return device - FIRST_LATE_DEVICE < openings->granted_count ? openings->granted_paths[device - FIRST_LATE_DEVICE]
                                                                : NULL;
}

/* Asks the policy. Sets *ret_file, or *refusal and returns false. */
static bool file_find(const struct openings *openings, const char *image_path, struct span name,
                      struct policy_file *ret_file, struct error *refusal)
{
    if (openings->granted_count == openings->job->late_device_count) {
        return error_set(refusal, ERROR_LIMIT, image_path, "leads to more than %u files",
                         openings->job->late_device_count);
    }
    if (!policy_open(openings->job->policy, image_path, name, ret_file, refusal)) {
        error_add_place(refusal, image_path);
        return false;
    }
    return true;
}

static bool grant_file(struct openings *openings, const struct policy_file *file, int socket_fd, struct error *error)
{
    struct grant grant = {.is_granted = true};
    struct stat status;
    if (fstat(file->fd, &status) != 0) {
        return error_set(error, ERROR_IO, file->path, "cannot find its length: %s", strerror(errno));
    }
    grant.file_len = (uint64_t)status.st_size;
    text_copy(grant.path, sizeof(grant.path), file->path);
    char *path = strdup(file->path);
    if (path == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    openings->granted_paths[openings->granted_count++] = path;
    return grant_send(socket_fd, &grant, file->fd, error);
}

static bool refuse_file(const struct error *refusal, int socket_fd, struct error *error)
{
    struct grant grant = {.error_kind = refusal->kind};
    text_copy(grant.path, sizeof(grant.path), refusal->place);
    text_copy(grant.detail, sizeof(grant.detail), refusal->detail);
    return grant_send(socket_fd, &grant, -1, error);
}

bool openings_answer(struct openings *openings, const instar_OpenMessage *message, int socket_fd, struct error *error)
{
    if (openings->job->policy == NULL || openings->job->late_device_count == 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest asks for a file in a job that opens none");
    }
    const char *image_path = path_of_device(openings, message->device);
    if (image_path == NULL) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest asks for a file on behalf of device %" PRIu32 ", which is not there",
                         message->device);
    }
    if (++openings->asked_count > OPENINGS_ASKED_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "the guest asked for more than %u files", OPENINGS_ASKED_MAX);
    }
    struct policy_file file;
    struct error refusal = {0};
    struct span name = {message->name.bytes, message->name.size};
    if (!file_find(openings, image_path, name, &file, &refusal)) {
        return refuse_file(&refusal, socket_fd, error);
    }
    bool is_sent = grant_file(openings, &file, socket_fd, error);
    close(file.fd);
    return is_sent;
}
