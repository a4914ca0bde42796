/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child of a job, as its parent sees it: a process that starts, reports through a pipe, and ends somehow.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_PROCESS_H
#define INSTAR_HOST_JOB_CHILD_CHILD_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/jail/jail_report.h"
#include "host/job/child/child.h"
#include "host/job/child/child_text.h"
#include "host/job/child_remains.h"
#include "host/job/signals.h"

struct child_process {
    struct child_remains remains; /* the process itself; pid: 0 or less when it was reaped */
    int event_fd;                 /* JobEvents come out of it */
    int grant_fd;                 /* grants go into it; -1 when the job allows none */
    struct child_text text;
    struct jail_report *report;
    uint64_t processor_s_max; /* the kernel's limit, at which it kills without a word (RLIMIT_CPU) */
};

struct child_start {
    const struct engine_operations *engine;
    const struct child_image *images; /* in the order of devices */
    unsigned int image_count;
    int listener_fd;               /* -1: none */
    const struct signals *signals; /* held by this process */
};

/*
 * Executes a child (host/job/child/child_birth.h). It is killed when this process ends, ignores the signals that this
 * process holds, and has none of its standard streams: what it writes to its own is in text. Of the other descriptors
 * it has only the files, the pipe, the socket for grants.
 */
bool child_process_start(struct child_process *ret_child, const struct job *job, const struct child_start *start,
                         struct error *error);

/* For a child that has ended without JobEnd, as its pidfd tells. Returns false; *error says how it ended. */
bool child_process_describe_end(struct child_process *child, struct error *error);

/* Ends the child and waits until it is gone: it writes to no file any more. */
void child_process_kill(struct child_process *child);

/* After its last word: lets the child end, beside what this process still does. Somebody has to wait for it. */
struct child_remains child_process_leave(struct child_process *child);

#endif
