/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a child comes into being: this executable, executed anew, so that nothing that the parent knows is in it: no
 * memory, no environment, no arguments, no stack canary or address of the parent's, and of its descriptors those that
 * it is given.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_BIRTH_H
#define INSTAR_HOST_JOB_CHILD_CHILD_BIRTH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/job/child/child.h"
#include "host/job/signals.h"

/* The only argument of a child. */
#define CHILD_NAME "instar-machine"

struct child_birth {
    const struct child_ties *ties; /* as the parent has them; where the child has images is in output_fd_first, ... */
    int order_fd;
    int report_fd;
    int text_fd;                   /* a pipe's writing end: its standard streams, all three */
    const struct signals *signals; /* held by this process */
};

/* Chooses ties->output_fd_first and input_fd_first, by this process's limit of descriptors. */
void child_birth_number(struct child_ties *ties);

/*
 * Makes the process. It is killed when this one ends, and ignores the signals that this one holds. *ret_pidfd is the
 * caller's, as is reaping.
 */
bool child_birth_give(const struct child_birth *birth, pid_t *ret_pid, int *ret_pidfd, struct error *error);

#endif
