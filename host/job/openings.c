/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/openings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/text.h"
#include "host/job/files.h"
#include "host/job/grant.h"
#include "host/job/image_lock.h"
#include "host/job/policy_path.h"

bool openings_init(struct openings *openings, const struct job *job, struct job_result *result, struct error *error)
{
    *openings = (struct openings){.job = job, .result = result};
    for (unsigned int i = 0; i < job->input_count && job->late_device_count > 0; i++) {
        RETURN_IF_FAILED(policy_directory_open(job->inputs[i].path, &openings->directories[i], error));
    }
    if (job->output_kind == JOB_OUTPUT_IN_PLACE && job->resizes_output && job->late_device_count > 0) {
        RETURN_IF_FAILED(policy_directory_open(job->output.path, &openings->directories[job->input_count], error));
    }
    return true;
}

void openings_release(struct openings *openings)
{
    for (unsigned int i = 0; i < JOB_DEVICE_MAX; i++) {
        policy_directory_release(&openings->directories[i]);
    }
    for (unsigned int i = 0; i < openings->granted_count; i++) {
        close(openings->granted_fds[i]);
    }
    openings->granted_count = 0;
}

int openings_fd(const struct openings *openings, unsigned int device)
{
    return openings->granted_fds[device - (openings->result->device_count - openings->granted_count)];
}

/* The image that names a file: where its names start, and what to call it. */
struct referrer {
    unsigned int device;
    const struct policy_directory *directory;
    const char *path;
};

/* A new output is no image that leads anywhere. */
static bool referrer_find(const struct openings *openings, uint32_t device, struct referrer *ret_referrer)
{
    if (device >= openings->result->device_count || openings->directories[device].path == NULL) {
        return false;
    }
    *ret_referrer = (struct referrer){device, &openings->directories[device], openings->result->devices[device].path};
    return true;
}

/* A file that an image names. */
struct finding {
    const struct referrer *referrer;
    struct span name;
    enum policy_use use;
    char *path; /* as the user knows it */
    struct policy_file file;
    struct stat status;
    struct policy_directory directory; /* where names in it start */
};

/* Whether the job writes to this file already. */
static bool is_written(const struct openings *openings, const struct file_identity *identity)
{
    const struct job_images *images = openings->images;
    const struct output_file *outputs[] = {
        images->has_output ? &images->output : NULL,
        images->has_data_output ? &images->data_output : NULL,
    };
    for (size_t i = 0; i < ARRAY_COUNT(outputs); i++) {
        if (outputs[i] != NULL && outputs[i]->has_old && file_identity_equal(identity, &outputs[i]->old_identity)) {
            return true;
        }
    }
    return openings->has_changed && file_identity_equal(identity, &openings->changed_identity);
}

static bool is_read(const struct openings *openings, const struct file_identity *identity)
{
    for (unsigned int i = 0; i < openings->images->input_count; i++) {
        if (file_identity_equal(identity, &openings->images->inputs[i].identity)) {
            return true;
        }
    }
    for (unsigned int i = 0; i < openings->granted_count; i++) {
        if (file_identity_equal(identity, &openings->granted_identities[i])) {
            return true;
        }
    }
    return false;
}

/* A data file that is changed is locked as in QEMU. */
static bool file_lock(const struct openings *openings, const struct finding *finding, struct error *error)
{
    const struct job *job = openings->job;
    if (finding->use == POLICY_READ) {
        return job_image_lock(job, finding->file.fd, finding->path, error);
    }
    return !job->lock_images || image_lock_take(finding->file.fd, IMAGE_READ | IMAGE_WRITE | IMAGE_RESIZE, IMAGE_RESIZE,
                                                finding->path, error);
}

/* Whether an open file can be used. */
static bool file_check(const struct openings *openings, struct finding *finding, struct error *error)
{
    finding->path = path_combine(finding->referrer->path, finding->name);
    if (finding->path == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    if (fstat(finding->file.fd, &finding->status) != 0) {
        return error_set(error, ERROR_IO, finding->path, "cannot find its length: %s", strerror(errno));
    }
    struct file_identity identity = file_identity(&finding->status);
    if (is_written(openings, &identity)) {
        return error_set(error, ERROR_USAGE, finding->path, "the output is a file that the input leads to");
    }
    if (finding->use == POLICY_CHANGE && is_read(openings, &identity)) {
        return error_set(error, ERROR_USAGE, finding->path, "the output leads to a file that is read");
    }
    return file_lock(openings, finding, error);
}

static void finding_drop(struct finding *finding)
{
    free(finding->path);
    close(finding->file.fd);
    policy_directory_release(&finding->directory);
}

/* Asks the policy. Fills in what it allows, or openings->refusal, and returns false. */
static bool file_find(struct openings *openings, struct finding *finding)
{
    const struct referrer *referrer = finding->referrer;
    openings->refusal = (struct error){0};
    openings->refusal_device = referrer->device;
    if (openings->granted_count == openings->job->late_device_count) {
        return error_set(&openings->refusal, ERROR_LIMIT, referrer->path, "leads to more than %u files",
                         openings->job->late_device_count);
    }
    if (!policy_open_at(openings->job->policy, referrer->directory, finding->name, finding->use, &finding->file,
                        &finding->directory, &openings->refusal)) {
        error_add_place(&openings->refusal, referrer->path);
        return false;
    }
    if (!file_check(openings, finding, &openings->refusal)) {
        finding_drop(finding);
        return false;
    }
    return true;
}

/* Records a file under the next device's number, and sends it. Takes what was found over. */
static bool file_grant(struct openings *openings, struct finding *finding, int socket_fd, struct error *error)
{
    struct job_result *result = openings->result;
    struct job_device *device = &result->devices[result->device_count];
    *device = (struct job_device){
        .path = finding->path,
        .len = (uint64_t)finding->status.st_size,
        .allocated_len = file_allocated_len(&finding->status),
        .is_regular = true,
        .referrer = finding->referrer->device,
    };
    openings->directories[result->device_count++] = finding->directory;
    struct file_identity identity = file_identity(&finding->status);
    openings->granted_identities[openings->granted_count] = identity;
    openings->granted_fds[openings->granted_count++] = finding->file.fd;
    struct grant grant = {.is_granted = true, .file_len = device->len, .allocated_len = device->allocated_len};
    if (finding->use == POLICY_CHANGE) {
        openings->has_changed = true;
        openings->changed_identity = identity;
        grant.is_writable = true;
    }
    text_copy(grant.path, sizeof(grant.path), device->path);
    return grant_send(socket_fd, &grant, finding->file.fd, error);
}

/* Whether this device's image may lead to one that is changed: the output, if it is changed itself, and once. */
static bool may_change(const struct openings *openings, uint32_t device)
{
    const struct job *job = openings->job;
    return job->output_kind == JOB_OUTPUT_IN_PLACE && job->resizes_output && device == job->input_count &&
           !openings->has_changed;
}

bool openings_answer(struct openings *openings, const instar_OpenMessage *message, int socket_fd, struct error *error)
{
    const struct policy *policy = openings->job->policy;
    bool has_room = openings->job->late_device_count > 0;
    if (!has_room && policy != NULL && policy->no_backing && message->device < openings->result->device_count) {
        return error_set(error, ERROR_REFUSED, openings->result->devices[message->device].path,
                         "no file that an image names is allowed (--no-backing, or 'allow = no' in the configuration)");
    }
    if (policy == NULL || !has_room) {
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
    if (message->writable && !may_change(openings, message->device)) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest asks for a file to write to on behalf of device %" PRIu32 ", which leads to none",
                         message->device);
    }
    struct finding finding = {
        .referrer = &referrer,
        .name = {message->name.bytes, message->name.size},
        .use = message->writable ? POLICY_CHANGE : POLICY_READ,
    };
    if (!file_find(openings, &finding)) {
        struct grant refusal = {.error_kind = openings->refusal.kind};
        return grant_send(socket_fd, &refusal, -1, error);
    }
    return file_grant(openings, &finding, socket_fd, error);
}
