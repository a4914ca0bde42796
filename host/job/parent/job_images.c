/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/job_images.h"

#include <stdlib.h>
#include <string.h>

#include "host/job/files/image_lock.h"

bool job_image_lock(const struct job *job, int fd, const char *path, struct error *error)
{
    if (!job->lock_images) {
        return true;
    }
    return image_lock_take(fd, job->only_describes ? 0 : IMAGE_READ,
                           job->reads_alone && !job->force_share ? IMAGE_WRITE | IMAGE_RESIZE : 0, path, error);
}

bool job_image_lock_part(const struct job *job, int fd, const char *path, struct error *error)
{
    bool is_alone = job->lock_images && !job->force_share;
    return job_image_lock(job, fd, path, error) && (!is_alone || image_lock_take(fd, 0, IMAGE_RESIZE, path, error));
}

bool job_image_lock_format(const struct job *job, int fd, const char *path, const char *format, struct error *error)
{
    if (!job->lock_images || job->force_share || strcmp(format, "raw") == 0) {
        return true;
    }
    return image_lock_take(fd, 0, IMAGE_WRITE | IMAGE_RESIZE, path, error);
}

bool job_images_open_inputs(struct job_images *images, const struct job *job, struct error *error)
{
    for (; images->input_count < job->input_count; images->input_count++) {
        struct input_file *input = &images->inputs[images->input_count];
        const char *path = job->inputs[images->input_count].path;
        bool is_open = input_file_open(input, path, job->limits.min_free_len, error);
        if (!is_open || !job_image_lock(job, input->fd, path, error)) {
            if (is_open) {
                input_file_close(input);
            }
            job_images_close_inputs(images);
            return false;
        }
    }
    return true;
}

/* How long the output is when the guest first sees it. */
static uint64_t output_len_of(const struct job_images *images, const struct job *job)
{
    return job->output_len == JOB_OUTPUT_AS_INPUT && images->input_count > 0 ? images->inputs[0].len : 0;
}

/* Whether what other files have is written there: not to an image, or its data file, whose content goes to one behind
 * it. */
static bool is_filled(const struct job *job, const struct job_output *further)
{
    unsigned int number;
    bool has_backing = job_outputs_find(&job->further_outputs, JOB_OUTPUT_BACKING, &number) != NULL;
    bool is_of_backing = further != NULL && (further->role == JOB_OUTPUT_BACKING || further->owner != 0);
    return job->fills_output && (!has_backing || is_of_backing);
}

static bool output_open(struct output_file *ret_output, const struct job_images *images, const struct job *job,
                        const struct output_request *what, struct error *error)
{
    struct output_request request = *what;
    request.lock = job->lock_images;
    request.is_alone = what->is_alone || (job->writes_alone && what->image == NULL);
    request.inputs = images->inputs;
    request.input_count = images->input_count;
    request.no_cow = job->no_cow;
    request.extent_hint = job->extent_hint;
    request.may_stream = job->streams_output;
    return output_file_open(ret_output, &request, error);
}

static bool further_output_open(struct job_images *images, const struct job *job, struct error *error)
{
    const struct job_output *wanted = &job->further_outputs.list[images->further_count];
    struct output_file *output = &images->further_outputs[images->further_count];
    bool is_new_extent = wanted->role == JOB_OUTPUT_NEW_EXTENT;
    struct output_request request = {
        .path = wanted->image.path,
        .kind = is_new_extent ? JOB_OUTPUT_NEW : job->output_kind,
        .like = !is_new_extent              ? NULL
                : images->further_count > 0 ? output - 1
                                            : &images->output,
        .resizes = job->resizes_output,
        .keeps_len = true,
        .is_alone = wanted->writes_alone,
        .is_filled = is_filled(job, wanted),
        .has_own_len = true,
        .image = &images->output,
        .others = images->further_outputs,
        .other_count = images->further_count,
    };
    RETURN_IF_FAILED(output_open(output, images, job, &request, error));
    if (wanted->has_identity && !file_identity_equal(&output->old_identity, &wanted->identity)) {
        output_file_discard(output);
        return error_set(error, ERROR_IO, wanted->image.path, "is not what it was a moment ago");
    }
    images->further_count++;
    return true;
}

static bool further_outputs_open(struct job_images *images, const struct job *job, struct error *error)
{
    unsigned int count = job->further_outputs.count;
    images->further_outputs = calloc(count + 1, sizeof(*images->further_outputs));
    if (images->further_outputs == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    while (images->further_count < count) {
        RETURN_IF_FAILED(further_output_open(images, job, error));
    }
    return true;
}

bool job_images_open_output(struct job_images *images, const struct job *job, struct error *error)
{
    if (job->output_kind == JOB_OUTPUT_NONE) {
        return true;
    }
    struct output_request request = {
        .path = job->output.path,
        .kind = job->output_kind,
        .len = output_len_of(images, job),
        .is_filled = is_filled(job, NULL),
        .resizes = job->resizes_output,
        .has_own_len = job->output_len == JOB_OUTPUT_AS_GUEST_SAYS,
        .truncates = job->output_len != JOB_OUTPUT_AS_GUEST_SAYS,
    };
    images->has_output = output_open(&images->output, images, job, &request, error);
    if (images->has_output && job->further_outputs.count > 0 && !further_outputs_open(images, job, error)) {
        job_images_discard(images);
        return false;
    }
    return images->has_output;
}

static struct child_image child_output(const struct output_file *output, const struct job_image *image,
                                       const struct job *job)
{
    return (struct child_image){
        .image = image,
        .is_output = true,
        .fd = output->fd,
        .len = output->len,
        .allocated_len = output->allocated_len,
        .zeroed = output->zeroed,
        .is_resizable = job->output_len == JOB_OUTPUT_AS_GUEST_SAYS &&
                        (output->is_new || output->is_stream || output->in_place_reason != NULL ||
                         (output->is_regular && job->resizes_output)),
        .is_regular = output->is_regular,
        .has_old_content = output->in_place_reason != NULL,
    };
}

unsigned int job_images_list(const struct job_images *images, const struct job *job, struct child_image *ret_images)
{
    unsigned int count = 0;
    while (count < images->input_count) {
        const struct input_file *input = &images->inputs[count];
        ret_images[count] = (struct child_image){
            .image = &job->inputs[count],
            .fd = input->fd,
            .len = input->len,
            .allocated_len = input->allocated_len,
            .is_regular = input->is_regular,
        };
        count++;
    }
    if (images->has_output) {
        ret_images[count++] = child_output(&images->output, &job->output, job);
    }
    for (unsigned int i = 0; i < images->further_count; i++) {
        ret_images[count++] = child_output(&images->further_outputs[i], &job->further_outputs.list[i].image, job);
    }
    return count;
}

const struct output_file *job_images_output(const struct job_images *images, unsigned int number)
{
    if (number == 0) {
        return images->has_output ? &images->output : NULL;
    }
    return number <= images->further_count ? &images->further_outputs[number - 1] : NULL;
}

void job_images_close_inputs(struct job_images *images)
{
    for (unsigned int i = 0; i < images->input_count; i++) {
        input_file_close(&images->inputs[i]);
    }
}

/* An image that is replaced may refer to files of the same names: it shall not stand there with new ones. */
static bool old_image_withdraw(const struct job_images *images, const struct job *job, struct error *error)
{
    unsigned int number;
    return !images->has_output || job_outputs_find(&job->further_outputs, JOB_OUTPUT_PART, &number) == NULL ||
           output_file_withdraw(&images->output, job->output.path, job->sync, error);
}

bool job_images_name_extents(struct job_images *images, const struct job *job, unsigned int *ret_number,
                             struct error *error)
{
    unsigned int first = 0;
    while (first < images->further_count && !images->further_outputs[first].waits_for_name) {
        first++;
    }
    unsigned int end = first;
    bool success = first < images->further_count ||
                   error_set(error, ERROR_GUEST, NULL, "the guest wants names for new files, of which there are none");
    while (success && end < images->further_count) {
        success = output_file_name(&images->further_outputs[end], job->further_outputs.list[end].image.path, error);
        end += success ? 1 : 0;
    }
    if (success && !output_file_sync_name(&images->further_outputs[first], job->output.path, error)) {
        success = false;
    }
    for (unsigned int i = first; !success && i < end; i++) {
        output_file_unname(&images->further_outputs[i]);
    }
    *ret_number = first + 1;
    return success;
}

bool job_images_commit(struct job_images *images, const struct job *job, struct error *error)
{
    bool success = old_image_withdraw(images, job, error);
    for (unsigned int i = 0; i < images->further_count && success; i++) {
        success =
            output_file_commit(&images->further_outputs[i], job->further_outputs.list[i].image.path, job->sync, error);
    }
    success =
        success && (!images->has_output || output_file_commit(&images->output, job->output.path, job->sync, error));
    job_images_discard(images);
    return success;
}

void job_images_discard(struct job_images *images)
{
    if (images->has_output) {
        output_file_discard(&images->output);
    }
    for (unsigned int i = 0; i < images->further_count; i++) {
        output_file_discard(&images->further_outputs[i]);
    }
    free(images->further_outputs);
    images->further_outputs = NULL;
    images->further_count = 0;
}
