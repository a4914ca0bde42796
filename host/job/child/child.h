/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child of a job: it builds the machine, runs it, and reports through a pipe.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_H
#define INSTAR_HOST_JOB_CHILD_CHILD_H

#include "host/job/job.h"
#include "host/vmm/engine.h"

/* Those that are there from the start; further ones come late. */
#define CHILD_IMAGE_MAX (JOB_INPUT_MAX + 1u + JOB_FURTHER_OUTPUT_MAX)

struct child_image {
    const struct job_image *image;
    bool is_output;         /* behind all inputs */
    int fd;                 /* the child takes it over; input: open for reading only */
    uint64_t len;           /* exact bytes */
    uint64_t allocated_len; /* bytes of storage */
    bool zeroed;            /* a new file: what is not written reads as zeros */
    bool is_resizable;      /* the guest may set its length */
    bool is_regular;        /* false: a block device */
    bool has_old_content;   /* len is 0, and the file is longer: it loses that when the guest sets its length */
};

/* What ties a child to its parent, and what it runs the guest by. */
struct child_ties {
    const struct engine_operations *engine;
    const struct child_image *images; /* in the order of devices */
    unsigned int image_count;
    int event_fd;    /* a pipe's writing end, for JobEvents */
    int grant_fd;    /* a socket, for grants of files; -1 when the job allows none */
    int listener_fd; /* where a program connects to the machine (host/job/parent/listener.h); -1: none does */
    int network_fd;  /* the namespace that it is to be in (host/job/child/child_network.h); -1: one of its own */
    /*
     * In the child, descriptors of outputs, and of what else is written to as a file, have numbers from output_fd_first
     * on; from input_fd_first on those of inputs follow. All others, which are eventfds, pipes and the like, lie below.
     */
    int output_fd_first;
    int input_fd_first;
};

/*
 * Runs the machine of `job` on its files and sends JobEvents: guest messages and debug lines
 * as they come, then statistics when wanted, then JobEnd, after the files have been closed. Never returns:
 * exits with 0 when JobEnd could be written.
 */
void child_run(const struct job *job, const struct child_ties *ties) __attribute__((noreturn));

/*
 * The first thing that a program's main does: in a process that was executed to be a job's child this runs the job, and
 * does not return. The program's own arguments are looked at later.
 */
void child_enter(int argc, char *const argv[]);

#endif
