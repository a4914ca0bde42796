/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a job writes besides its output: the files that a new image consists of, data files, what is behind an image.
 * They are devices right behind the output, in their order.
 */
#ifndef INSTAR_HOST_JOB_FILES_JOB_OUTPUTS_H
#define INSTAR_HOST_JOB_FILES_JOB_OUTPUTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/backends/backend.h"
#include "host/job/files/files.h"

/* An image of 4 TiB in files of 2 GiB less 64 KiB, as VMware makes them. */
#define JOB_FURTHER_OUTPUT_MAX 2049u
/*
 * Outputs, the first included, that have a thread and as many queues as there are processors. All others share what
 * late devices have: one thread, and a queue for each.
 */
#define JOB_OWN_OUTPUT_MAX 4u

struct job_image {
    const char *path;
    uint32_t sector_len; /* bytes, the device's blk_size; JOB_SECTOR_LEN_MIN unless there is a reason */
    enum backend_kind backend;
};

enum job_output_role {
    /* Of a new image: new like the output, and complete before it. Nothing leads there. */
    JOB_OUTPUT_PART,
    /* Written in place like the output, and the data file of one of them: its own name for it must lead to it. */
    JOB_OUTPUT_DATA,
    /*
     * Written in place, and the one behind the output or further down in its chain: all images of the job that lead to
     * it get its device.
     */
    JOB_OUTPUT_BACKING,
    /*
     * Written in place, and one of the files that the output `owner` consists of, by its name beside that: the image
     * must lead to it as to a part.
     */
    JOB_OUTPUT_EXTENT,
    /*
     * New, and one of the files that the first output, which is changed in place, is to consist of; behind one that it
     * consists of already, whose owner and attributes it gets. All of them get their names when the guest says so,
     * where nothing stands, and keep them from there on.
     */
    JOB_OUTPUT_NEW_EXTENT,
};

struct job_output {
    struct job_image image;
    enum job_output_role role;
    unsigned int owner; /* JOB_OUTPUT_DATA, _EXTENT: the number of the output whose it is; the first one's is 0 */
    bool writes_alone;  /* JOB_OUTPUT_BACKING: as struct job has it for the output */
    bool has_identity;  /* it must be this file: */
    struct file_identity identity;
    char *own_path; /* of the list: what image.path is then */
};

/* Starts as zero. */
struct job_outputs {
    struct job_output *list;
    unsigned int count; /* up to JOB_FURTHER_OUTPUT_MAX */
    unsigned int room;  /* of a list that grows */
};

/* Adds a copy, also of the path. */
bool job_outputs_add(struct job_outputs *outputs, const struct job_output *output, struct error *error);
void job_outputs_release(struct job_outputs *outputs);

/* The first one of this role, with its number among all outputs, which is 1 or more. NULL: there is none. */
const struct job_output *job_outputs_find(const struct job_outputs *outputs, enum job_output_role role,
                                          unsigned int *ret_number);

/* How the output with this number is reached: one of many, by calls that end at once. */
enum backend_kind job_outputs_backend(const struct job_image *image, unsigned int number);

#endif
