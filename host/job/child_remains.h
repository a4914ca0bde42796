/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a job's processes when its result is there: on their way out, which takes a virtual machine
 * milliseconds, beside what this process still has to do. Whoever waits for them leaves nothing to others, as a first
 * process of a container may reap nobody.
 */
#ifndef INSTAR_HOST_JOB_CHILD_REMAINS_H
#define INSTAR_HOST_JOB_CHILD_REMAINS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child_remains {
    pid_t pid; /* the child; 0 or less: reaped */
    int pidfd; /* valid while pid is */
    /* The guest's process, as the child says, or 0. It becomes this process's child when its parent has ended. */
    pid_t guest_pid;
    /* The child may have a guest's process that it has not told of: one that is killed at the start. */
    bool may_have_untold;
};

/* Waits until they are gone, for some seconds at most; the child has been killed, or ends by itself. May be called
 * twice. */
void child_remains_wait(struct child_remains *remains);

/*
 * Waits for the child, which is there, alone, for some seconds at most. Returns its wait status, or -1.
 * *ret_processor_s: what it has computed, in whole seconds.
 */
int child_remains_reap(struct child_remains *remains, uint64_t *ret_processor_s);

#endif
