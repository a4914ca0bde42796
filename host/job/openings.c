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
#define DEVICE_INPUT 0u
#define FIRST_LATE_DEVICE 2u

bool openings_init(struct openings *openings, const struct job *job, struct error *error)
{
    *openings = (struct openings){.job = job};
    return job->late_device_count == 0 || policy_directory_open(job->input.path, &openings->input_directory, error);
}

void openings_release(struct openings *openings)
{
    for (unsigned int i = 0; i < openings->granted_count; i++) {
        free(openings->granted_paths[i]);
        policy_directory_release(&openings->granted_directories[i]);
    }
    openings->granted_count = 0;
    policy_directory_release(&openings->input_directory);
}

/* The image that names a file: where its names start, and what to call it. */
struct referrer {
    const struct policy_directory *directory;
    const char *path;
};

/* The output is no image that leads anywhere: what stood there before is not the job's. */
static bool referrer_find(const struct openings *openings, uint32_t device, struct referrer *ret_referrer)
{
    if (device == DEVICE_INPUT) {
        *ret_referrer = (struct referrer){&openings->input_directory, openings->job->input.path};
        return true;
    }
    if (device < FIRST_LATE_DEVICE || device - FIRST_LATE_DEVICE >= openings->granted_count) {
        return false;
    }
    *ret_referrer = (struct referrer){
        &openings->granted_directories[device - FIRST_LATE_DEVICE],
        openings->granted_paths[device - FIRST_LATE_DEVICE],
    };
    return true;
}

/* Asks the policy. Sets *ret_file and *ret_directory, or openings->refusal and returns false. */
static bool file_find(struct openings *openings, const struct referrer *referrer, struct span name,
                      struct policy_file *ret_file, struct policy_directory *ret_directory)
{
    openings->refusal = (struct error){0};
    if (openings->granted_count == openings->job->late_device_count) {
        return error_set(&openings->refusal, ERROR_LIMIT, referrer->path, "leads to more than %u files",
                         openings->job->late_device_count);
    }
    if (!policy_open_at(openings->job->policy, referrer->directory, name, ret_file, ret_directory,
                        &openings->refusal)) {
        error_add_place(&openings->refusal, referrer->path);
        return false;
    }
    return true;
}

/* Records a file under the next device's number, and sends it. Takes `directory` over. */
static bool file_grant(struct openings *openings, const struct policy_file *file,
                       const struct policy_directory *directory, int socket_fd, struct error *error)
{
    struct grant grant = {.is_granted = true};
    struct stat status;
    char *path = strdup(file->path);
    if (path == NULL || fstat(file->fd, &status) != 0) {
        error_fill(error, ERROR_HOST, file->path, "cannot find its length: %s", strerror(errno));
        free(path);
        struct policy_directory unused = *directory;
        policy_directory_release(&unused);
        return false;
    }
    openings->granted_paths[openings->granted_count] = path;
    openings->granted_directories[openings->granted_count] = *directory;
    openings->granted_count++;
    grant.file_len = (uint64_t)status.st_size;
    text_copy(grant.path, sizeof(grant.path), path);
    return grant_send(socket_fd, &grant, file->fd, error);
}

bool openings_answer(struct openings *openings, const instar_OpenMessage *message, int socket_fd, struct error *error)
{
    if (openings->job->policy == NULL || openings->job->late_device_count == 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest asks for a file in a job that opens none");
    }
    struct referrer referrer;
    if (!referrer_find(openings, message->device, &referrer)) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest asks for a file on behalf of device %" PRIu32 ", which names none",
                         message->device);
    }
    if (++openings->asked_count > OPENINGS_ASKED_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "the guest asked for more than %u files", OPENINGS_ASKED_MAX);
    }
    struct policy_file file;
    struct policy_directory directory;
    if (!file_find(openings, &referrer, (struct span){message->name.bytes, message->name.size}, &file, &directory)) {
        struct grant refusal = {.error_kind = openings->refusal.kind};
        return grant_send(socket_fd, &refusal, -1, error);
    }
    bool is_sent = file_grant(openings, &file, &directory, socket_fd, error);
    close(file.fd);
    return is_sent;
}
