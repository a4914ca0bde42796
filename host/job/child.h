/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child of a job: it builds the machine, runs it, and reports through a pipe.
 */
#ifndef INSTAR_HOST_JOB_CHILD_H
#define INSTAR_HOST_JOB_CHILD_H

#include "host/job/job.h"
#include "host/vmm/engine.h"

struct child_image {
    const char *path;
    int fd;          /* the child takes it over; input: open for reading only */
    uint64_t len;    /* exact bytes */
    bool zeroed;     /* a new file: what is not written reads as zeros */
    bool is_regular; /* false: a block device */
};

/* What ties a child to its parent, and what it runs the guest by. */
struct child_ties {
    const struct engine_operations *engine;
    int event_fd; /* a pipe's writing end, for JobEvents */
    int grant_fd; /* a socket, for grants of files; -1 when the job allows none */
};

/*
 * Runs the machine of `job` on the two files and sends JobEvents: guest messages and debug lines
 * as they come, then statistics when wanted, then JobEnd, after the files have been closed. Never returns:
 * exits with 0 when JobEnd could be written.
 */
void child_run(const struct job *job, const struct child_image *input, const struct child_image *output,
               const struct child_ties *ties) __attribute__((noreturn));

#endif
