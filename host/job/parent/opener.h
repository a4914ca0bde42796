/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that opens files for a job's parent: an open may wait for a server that is gone, and nothing in the
 * kernel then ends the wait, so the parent must not be who waits. It asks, goes on listening to its child, signals and
 * the deadline, and leaves the process behind if it has to.
 *
 * It is made by fork, of what the parent knows when the job starts; it decodes nothing, has the rights that the policy
 * gives to images (host/job/parent/parent_walls.h), and ends with its parent.
 */
#ifndef INSTAR_HOST_JOB_PARENT_OPENER_H
#define INSTAR_HOST_JOB_PARENT_OPENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "host/job/parent/openings.h"

struct opener {
    pid_t pid; /* 0: there is none */
    int pidfd;
    int socket_fd;
    bool is_asked; /* an answer is to come */
};

/* Where the job may open files that images name; otherwise there is none, all zero. */
bool opener_start(struct opener *ret_opener, struct openings *openings, struct error *error);

/* One question at a time. */
bool opener_ask(struct opener *opener, const struct opening_question *question, struct error *error);

/* Takes the answer when the socket is readable. *ret_fd is the caller's, or -1. */
bool opener_hear(struct opener *opener, struct opening_answer *ret_answer, int *ret_fd, struct error *error);

/* Ends it, and waits for its end, but not for long: one that waits in the kernel stays until that lets it go. */
void opener_end(struct opener *opener);

#endif
