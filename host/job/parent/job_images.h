/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a job as the parent holds them: the inputs, and the output if there is one. */
#ifndef INSTAR_HOST_JOB_PARENT_JOB_IMAGES_H
#define INSTAR_HOST_JOB_PARENT_JOB_IMAGES_H

#include "host/job/child/child.h"
#include "host/job/files/files.h"
#include "host/job/job.h"
#include "host/job/outputs/output_file.h"

/* Starts as zero. */
struct job_images {
    unsigned int input_count; /* opened so far */
    struct input_file inputs[JOB_INPUT_MAX];
    bool has_output;
    struct output_file output;
    struct output_file *further_outputs; /* of as many as the job has */
    unsigned int further_count;          /* opened so far */
};

/* Opens the inputs of `job`, and locks them. When it fails at one, nothing stays open, and input_count is its number.
 */
bool job_images_open_inputs(struct job_images *images, const struct job *job, struct error *error);
/* Then its outputs, if it has some. When it fails, none is open. */
bool job_images_open_output(struct job_images *images, const struct job *job, struct error *error);

/* What the child gets, in the order of devices: returns how many, up to CHILD_IMAGE_MAX. The descriptors stay ours. */
unsigned int job_images_list(const struct job_images *images, const struct job *job, struct child_image *ret_images);

/* The output with this number, 0 is the first one; NULL: it is not open. */
const struct output_file *job_images_output(const struct job_images *images, unsigned int number);

/* Closes the inputs. May be called twice. */
void job_images_close_inputs(struct job_images *images);
/*
 * Gives all outputs of the role JOB_OUTPUT_NEW_EXTENT their names, or none: *ret_number is that of the first one. On
 * stable storage then, as the guest goes on to write what refers to them. Once; an error if there are none.
 */
bool job_images_name_extents(struct job_images *images, const struct job *job, unsigned int *ret_number,
                             struct error *error);
/*
 * Ends the outputs, if there are any: puts each under its name, the first one last, or removes what was written. May be
 * called twice.
 */
bool job_images_commit(struct job_images *images, const struct job *job, struct error *error);
void job_images_discard(struct job_images *images);

/*
 * The locks of an image that `job` reads: when it is opened, and those that are added when its format is known. A
 * format with metadata cannot be read while somebody writes; what is raw can. A source of a conversion shall not
 * change whatever it is. One of several files that an image consists of, or its data file, keeps its length, as in
 * QEMU.
 */
bool job_image_lock(const struct job *job, int fd, const char *path, struct error *error);
bool job_image_lock_part(const struct job *job, int fd, const char *path, struct error *error);
bool job_image_lock_format(const struct job *job, int fd, const char *path, const char *format, struct error *error);

#endif
