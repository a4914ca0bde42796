/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/openings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/text.h"
#include "host/job/files/file_owner.h"
#include "host/job/grant.h"
#include "host/job/policy/policy_path.h"

/* `directory_fd` is where the image was found. */
static bool origin_hold(struct policy_origin *ret_origin, const char *path, int directory_fd, uid_t owner,
                        struct error *error)
{
    ret_origin->owner = owner;
    ret_origin->path = path;
    return policy_directory_hold(directory_fd, path, &ret_origin->directory, error);
}

/* Whether the job changes images in place, which may lead further. */
static bool changes_output(const struct job *job)
{
    return job->output_kind == JOB_OUTPUT_IN_PLACE && job->resizes_output;
}

/* The output has been opened; what its path means is looked up once more, and must be that file. */
static bool output_find(struct openings *openings, unsigned int number, struct error *error)
{
    const struct job_output *output = &openings->job->further_outputs.list[number - 1];
    struct policy_named *named = &openings->outputs[number - 1];
    bool is_backing = output->role == JOB_OUTPUT_BACKING;
    const char *path = output->image.path;
    const char *what = is_backing ? "what is written to" : "a data file";
    const struct file_identity *identity = &job_images_output(openings->images, number)->old_identity;
    RETURN_IF_FAILED(policy_named_open(path, what, is_backing, named, error));
    return file_identity_equal(&named->identity, identity) ||
           error_set(error, ERROR_IO, path, "is not what it was a moment ago");
}

/* A data file leads nowhere, nor does an extent; what is behind an image may. */
static bool outputs_find(struct openings *openings, struct error *error)
{
    const struct job *job = openings->job;
    openings->outputs = calloc(job->further_outputs.count + 1, sizeof(*openings->outputs));
    if (openings->outputs == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    for (unsigned int i = 0; i < job->further_outputs.count; i++) {
        const struct job_output *output = &job->further_outputs.list[i];
        if (output->role == JOB_OUTPUT_EXTENT || output->role == JOB_OUTPUT_NEW_EXTENT) {
            continue; /* no name is the user's: it is compared with what is found as a part */
        }
        RETURN_IF_FAILED(output_find(openings, i + 1, error));
        const struct output_file *file = job_images_output(openings->images, i + 1);
        RETURN_IF_FAILED(output->role != JOB_OUTPUT_BACKING ||
                         origin_hold(&openings->origins[job->input_count + 1 + i], output->image.path, file->named_fd,
                                     file->old_owner, error));
    }
    return true;
}

bool openings_begin(struct openings *openings, const struct job *job, const struct job_images *images,
                    struct job_result *result, struct error *error)
{
    *openings = (struct openings){.job = job, .result = result, .images = images};
    if (job->policy == NULL) {
        return true;
    }
    if (job->late_device_count > 0) {
        (void)file_owner_is_one(0); /* for the opener, which cannot read the files that tell */
    }
    openings->origin_count = job->input_count + 1 + job->further_outputs.count + job->late_device_count;
    openings->origins = calloc(openings->origin_count, sizeof(*openings->origins));
    openings->granted_fds = calloc(job->late_device_count + 1, sizeof(*openings->granted_fds));
    openings->identities = calloc(openings->origin_count, sizeof(*openings->identities));
    if (openings->origins == NULL || openings->granted_fds == NULL || openings->identities == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    for (unsigned int i = 0; i < job->input_count; i++) {
        const struct input_file *input = &images->inputs[i];
        RETURN_IF_FAILED(
            origin_hold(&openings->origins[i], job->inputs[i].path, input->directory_fd, input->owner, error));
        openings->identities[i] = images->inputs[i].identity;
    }
    if (!changes_output(job)) {
        return true;
    }
    struct policy_origin *output = &openings->origins[job->input_count];
    RETURN_IF_FAILED(origin_hold(output, job->output.path, images->output.named_fd, images->output.old_owner, error));
    return outputs_find(openings, error);
}

unsigned int openings_origin_end(const struct openings *openings)
{
    const struct job *job = openings->job;
    return openings->origins != NULL ? job->input_count + 1 + job->further_outputs.count + openings->granted_count : 0;
}

void openings_release(struct openings *openings)
{
    for (unsigned int i = 0; i < openings_origin_end(openings); i++) {
        policy_directory_release(&openings->origins[i].directory);
    }
    for (unsigned int i = 0; openings->outputs != NULL && i < openings->job->further_outputs.count; i++) {
        policy_named_release(&openings->outputs[i]);
    }
    free(openings->outputs);
    openings->outputs = NULL;
    for (unsigned int i = 0; i < openings->granted_count; i++) {
        close(openings->granted_fds[i]);
    }
    openings->granted_count = 0;
    free(openings->granted_fds);
    free(openings->origins);
    free(openings->identities);
    openings->identities = NULL;
    openings->granted_fds = NULL;
    openings->origins = NULL;
}

int openings_fd(const struct openings *openings, unsigned int device)
{
    return openings->granted_fds[device - (openings->result->device_count - openings->granted_count)];
}

/* The image that names a file: where its names start, and what to call it. */
struct referrer {
    unsigned int device;
    const struct policy_origin *origin;
    const char *path;
};

/* A new output is no image that leads anywhere. */
static bool referrer_find(const struct openings *openings, uint32_t device, struct referrer *ret_referrer)
{
    if (device >= openings->result->device_count || device >= openings->origin_count ||
        openings->origins[device].path == NULL) {
        return false;
    }
    *ret_referrer = (struct referrer){device, &openings->origins[device], openings->result->devices[device].path};
    return true;
}

/* A file that an image names. */
struct finding {
    const struct referrer *referrer;
    struct span name;
    enum policy_use use;
    char *path; /* as the user knows it */
    struct policy_file file;
    struct policy_directory directory; /* where names in it start */
};

/* Whether the job writes to this file already. */
static bool is_written(const struct openings *openings, const struct file_identity *identity)
{
    const struct output_file *output;
    for (unsigned int i = 0; (output = job_images_output(openings->images, i)) != NULL; i++) {
        if (output->has_old && file_identity_equal(identity, &output->old_identity)) {
            return true;
        }
    }
    return false;
}

/* Whether what is refused is a file that the job writes to: then that is why it cannot be read, whatever else there is.
 */
static bool leads_to_output(const struct openings *openings, const struct finding *finding)
{
    const struct output_file *output;
    /* A job that opens no files may not look at any (refuse_all). */
    bool may_look = openings->job->late_device_count > 0;
    for (unsigned int i = 0; may_look && (output = job_images_output(openings->images, i)) != NULL; i++) {
        if (output->has_old && policy_leads_to_file(finding->referrer->origin, finding->name, &output->old_identity)) {
            return true;
        }
    }
    return false;
}

static bool refuse_output(const char *path, struct error *error)
{
    return error_set(error, ERROR_USAGE, path, "the output is a file that the input leads to");
}

/* Whether an open file can be used. */
static bool file_check(const struct openings *openings, struct finding *finding, struct error *error)
{
    finding->path = path_combine(finding->referrer->path, finding->name);
    if (finding->path == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    struct file_identity identity = file_identity(&finding->file.status);
    if (is_written(openings, &identity)) {
        return refuse_output(finding->path, error);
    }
    return finding->use != POLICY_BACKING ? job_image_lock_part(openings->job, finding->file.fd, finding->path, error)
                                          : job_image_lock(openings->job, finding->file.fd, finding->path, error);
}

static bool directory_equal(const struct policy_directory *a, const struct policy_directory *b)
{
    struct stat first;
    struct stat second;
    return fstat(a->fd, &first) == 0 && fstat(b->fd, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/*
 * Whether a device that is read has this file: *ret_device. One whose names start in another directory may lead
 * elsewhere.
 */
static bool device_find(const struct openings *openings, const struct finding *finding, uint32_t *ret_device)
{
    struct file_identity identity = file_identity(&finding->file.status);
    for (uint32_t i = 0; i < openings->result->device_count; i++) {
        bool is_output =
            i >= openings->job->input_count && i < openings->result->device_count - openings->granted_count;
        if (!is_output && openings->origins[i].path != NULL &&
            file_identity_equal(&identity, &openings->identities[i]) &&
            directory_equal(&openings->origins[i].directory, &finding->directory)) {
            *ret_device = i;
            return true;
        }
    }
    return false;
}

static void finding_drop(struct finding *finding)
{
    free(finding->path);
    close(finding->file.fd);
    policy_directory_release(&finding->directory);
}

/* Asks the policy. Fills in what it allows, or *refusal, and returns false. */
static bool file_find(const struct openings *openings, struct finding *finding, struct error *refusal)
{
    const struct referrer *referrer = finding->referrer;
    if (!policy_open(openings->job->policy, referrer->origin, finding->name, finding->use, &finding->file,
                     finding->use == POLICY_PART ? NULL : &finding->directory, refusal)) {
        if (leads_to_output(openings, finding)) {
            *refusal = (struct error){0};
            finding->path = path_combine(referrer->path, finding->name);
            bool success = refuse_output(finding->path, refusal);
            free(finding->path);
            return success;
        }
        error_add_place(refusal, referrer->path);
        return false;
    }
    /* Only now: what is refused by the policy is, however many devices are left. */
    if (openings->granted_count == openings->job->late_device_count) {
        close(finding->file.fd);
        policy_directory_release(&finding->directory);
        return error_set(refusal, ERROR_LIMIT, referrer->path, "leads to more than %u files",
                         openings->job->late_device_count);
    }
    if (!file_check(openings, finding, refusal)) {
        finding_drop(finding);
        return false;
    }
    return true;
}

/*
 * Records a file under the next device's number. Takes path, directory and descriptor over. A part of an image leads
 * nowhere: no directory is open for names in it.
 */
static void device_add(struct openings *openings, const struct job_device *device, struct policy_origin origin,
                       enum policy_use use, int fd)
{
    struct job_result *result = openings->result;
    origin.path = use != POLICY_PART ? device->path : NULL;
    openings->origins[result->device_count] = origin;
    result->devices[result->device_count++] = *device;
    openings->granted_fds[openings->granted_count++] = fd;
}

/* Whether it is the output with this number: the data file of an image that is changed, or a file behind it. */
static bool is_output(const struct openings *openings, const struct finding *finding, uint32_t number,
                      struct error *refusal)
{
    bool is_there = openings->outputs != NULL && number > 0 && number <= openings->job->further_outputs.count;
    const struct policy_named *named = is_there ? &openings->outputs[number - 1] : NULL;
    if (policy_leads_to(finding->referrer->origin, finding->name, named, refusal)) {
        return true;
    }
    error_add_place(refusal, finding->referrer->path);
    return false;
}

/* Whether it is one of the files that an output consists of, which the policy lets that lead to: *ret_device. */
static bool extent_find(const struct openings *openings, const struct finding *finding, uint32_t owner,
                        uint32_t *ret_device)
{
    const struct job_outputs *outputs = &openings->job->further_outputs;
    struct policy_file file;
    struct error ignored = {0};
    if (!policy_open(openings->job->policy, finding->referrer->origin, finding->name, POLICY_PART, &file, NULL,
                     &ignored)) {
        return false;
    }
    struct file_identity identity = file_identity(&file.status);
    close(file.fd);
    for (uint32_t i = 0; i < outputs->count; i++) {
        const struct output_file *output = job_images_output(openings->images, i + 1);
        if (outputs->list[i].role == JOB_OUTPUT_EXTENT && outputs->list[i].owner == owner && output != NULL &&
            file_identity_equal(&identity, &output->old_identity)) {
            *ret_device = openings->job->input_count + i + 1;
            return true;
        }
    }
    return false;
}

void openings_find(struct openings *openings, const struct opening_question *question,
                   struct opening_answer *ret_answer, int *ret_fd)
{
    struct referrer referrer;
    *ret_answer = (struct opening_answer){.outcome = OPENING_REFUSED};
    *ret_fd = -1;
    struct error *refusal = &ret_answer->refusal;
    if (!referrer_find(openings, question->device, &referrer) || question->name_len > sizeof(question->name)) {
        error_fill(refusal, ERROR_HOST, NULL, "asked for a file of no image");
        return;
    }
    struct finding finding = {
        .referrer = &referrer, .name = {question->name, question->name_len}, .use = (enum policy_use)question->use};
    struct error other = {0};
    if (question->is_data_output || question->may_be_written) {
        struct error *reason = question->is_data_output ? refusal : &other;
        bool is_found = is_output(openings, &finding, question->output, reason);
        ret_answer->outcome = is_found ? OPENING_KNOWN : OPENING_REFUSED;
        ret_answer->device = openings->job->input_count + question->output;
        if (is_found || question->is_data_output) {
            return;
        }
    }
    if (question->may_be_extent && extent_find(openings, &finding, question->output, &ret_answer->device)) {
        ret_answer->outcome = OPENING_KNOWN;
        return;
    }
    if (!file_find(openings, &finding, refusal)) {
        return;
    }
    if (openings->job->joins_files && question->use == POLICY_BACKING &&
        device_find(openings, &finding, &ret_answer->device)) {
        ret_answer->outcome = OPENING_KNOWN;
        finding_drop(&finding);
        return;
    }
    *ret_answer = (struct opening_answer){
        .outcome = OPENING_FOUND,
        .len = (uint64_t)finding.file.status.st_size,
        .allocated_len = file_allocated_len(&finding.file.status),
    };
    *ret_fd = finding.file.fd;
    struct job_device device = {.path = finding.path};
    struct policy_origin origin = {.directory = finding.directory, .owner = finding.file.status.st_uid};
    openings->identities[openings->result->device_count] = file_identity(&finding.file.status);
    device_add(openings, &device, origin, finding.use, -1);
}

/* A job that has no room for files: with a policy that allows none, which then is the reason for its end. */
static bool refuse_all(struct openings *openings, const struct opening_question *question, struct error *error)
{
    struct opening_answer answer = {.outcome = OPENING_REFUSED};
    struct opening_question question_of_name = *question;
    int fd = -1;
    bool is_part = question->use == POLICY_PART && !openings->job->has_said_formats &&
                   policy_origin_has_parts(&openings->origins[question->device]);
    if (!is_part && policy_allows_something(openings->job->policy)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest asks for a file in a job that opens none");
    }
    /* Without a look at any file, which this process may not have any more. */
    if (is_part) {
        error_fill(&answer.refusal, ERROR_LIMIT, openings->result->devices[question->device].path,
                   "consists of several files: say its format by -f");
    } else {
        /* An image within one of another format that is said has no parts: for its names are the rules. */
        question_of_name.use = question->use == POLICY_PART ? POLICY_BACKING : question->use;
        openings_find(openings, &question_of_name, &answer, &fd);
    }
    openings->result->is_opening = true;
    openings->result->opening_device = question->device;
    *error = answer.refusal;
    return false;
}

/* The number of the output that has the data of output `owner`; 0: there is none. */
static uint32_t data_output_of(const struct job *job, uint32_t owner)
{
    for (uint32_t i = 0; i < job->further_outputs.count; i++) {
        const struct job_output *output = &job->further_outputs.list[i];
        if (output->role == JOB_OUTPUT_DATA && output->owner == owner) {
            return i + 1;
        }
    }
    return 0;
}

/*
 * Whether a question is about what the job writes. The data of an image that is changed is, or the answer is no; but
 * for images of a job that writes to what is behind one: of these each may also be left as it is (commit -d).
 */
static void outputs_consider(const struct job *job, const instar_OpenMessage *message,
                             struct opening_question *question)
{
    uint32_t backing = 0;
    bool may_be_output = changes_output(job);
    bool writes_backing = job_outputs_find(&job->further_outputs, JOB_OUTPUT_BACKING, &backing) != NULL;
    bool is_output =
        message->device >= job->input_count && message->device <= job->input_count + job->further_outputs.count;
    question->output = 0;
    question->is_data_output = question->may_be_written = question->may_be_extent = false;
    if (may_be_output && question->use == POLICY_DATA && is_output) {
        question->output = data_output_of(job, message->device - job->input_count);
        question->is_data_output = question->output != 0 || !writes_backing;
    } else if (may_be_output && question->use == POLICY_PART && is_output) {
        question->output = message->device - job->input_count;
        question->may_be_extent = true;
    } else if (may_be_output && question->use == POLICY_BACKING && writes_backing) {
        question->output = backing;
        question->may_be_written = true;
    }
}

static enum policy_use use_of(instar_OpenUse use)
{
    if (use == instar_OpenUse_OPEN_PART) {
        return POLICY_PART;
    }
    return use == instar_OpenUse_OPEN_DATA ? POLICY_DATA : POLICY_BACKING;
}

bool openings_ask(struct openings *openings, const instar_OpenMessage *message, struct error *error)
{
    const struct job *job = openings->job;
    bool is_data = message->use == instar_OpenUse_OPEN_DATA;
    struct referrer referrer;
    if (!is_data && message->use != instar_OpenUse_OPEN_BACKING && message->use != instar_OpenUse_OPEN_PART) {
        return error_set(error, ERROR_GUEST, NULL, "the guest asks for a file and does not say what for");
    }
    if (job->policy == NULL) {
        return error_set(error, ERROR_GUEST, NULL, "the guest asks for a file in a job that opens none");
    }
    if (!referrer_find(openings, message->device, &referrer)) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest asks for a file on behalf of device %" PRIu32 ", which names none",
                         message->device);
    }
    unsigned int asked_max = job->late_device_count + OPENINGS_REFUSED_MAX;
    asked_max = asked_max > OPENINGS_ASKED_MAX ? asked_max : OPENINGS_ASKED_MAX;
    if (++openings->asked_count > asked_max) {
        return error_set(error, ERROR_LIMIT, NULL, "the guest asked for more than %u files", asked_max);
    }
    struct opening_question *question = &openings->question;
    question->device = message->device;
    question->use = use_of(message->use);
    outputs_consider(job, message, question);
    question->name_len = message->name.size;
    memcpy(question->name, message->name.bytes, message->name.size);
    return job->late_device_count > 0 || refuse_all(openings, question, error);
}

/* What was found, as another device. Takes the file over. */
static bool file_grant(struct openings *openings, const struct opening_answer *answer, int file_fd, int socket_fd,
                       struct error *error)
{
    const struct opening_question *question = &openings->question;
    struct job_device device = {
        .path = path_combine(openings->result->devices[question->device].path,
                             (struct span){question->name, question->name_len}),
        .len = answer->len,
        .allocated_len = answer->allocated_len,
        .is_regular = true,
        .referrer = question->device,
    };
    if (device.path == NULL || openings->granted_count == openings->job->late_device_count) {
        close(file_fd);
        free(device.path);
        return error_set(error, ERROR_HOST, NULL, "cannot take a file that an image names");
    }
    device_add(openings, &device, (struct policy_origin){0}, (enum policy_use)question->use, file_fd);
    struct grant grant = {.is_granted = true, .file_len = device.len, .allocated_len = device.allocated_len};
    text_copy(grant.path, sizeof(grant.path), device.path);
    return grant_send(socket_fd, &grant, file_fd, error);
}

bool openings_answer(struct openings *openings, const struct opening_answer *answer, int file_fd, int socket_fd,
                     struct error *error)
{
    if (answer->outcome == OPENING_FOUND) {
        return file_grant(openings, answer, file_fd, socket_fd, error);
    }
    struct grant grant = {.error_kind = answer->refusal.kind};
    if (answer->outcome == OPENING_KNOWN) {
        if (answer->device >= openings->result->device_count) {
            return error_set(error, ERROR_HOST, NULL, "the process that opens files makes no sense");
        }
        grant = (struct grant){.is_granted = true, .has_device = true, .device = answer->device};
    } else {
        /* For the job's error, if the guest cannot live with it. */
        openings->refusal = answer->refusal;
        openings->refusal_device = openings->question.device;
    }
    return grant_send(socket_fd, &grant, -1, error);
}
