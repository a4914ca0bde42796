/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task that opens the files that the user names. An open, or what is asked of the file then, may wait for a server
 * that is gone, and where nothing in the kernel ends that wait, no signal does. So the task is a process, which can be
 * left behind. It shares memory and descriptors with the job's process, which does nothing meanwhile but wait for its
 * end: what it opens and fills in is simply there afterwards. That costs less than a fork, and needs no messages.
 */
#ifndef INSTAR_HOST_JOB_FILES_OPEN_TASK_H
#define INSTAR_HOST_JOB_FILES_OPEN_TASK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct open_task {
    bool (*work)(void *context);
    void *context;
    bool success;     /* of the work */
    bool is_finished; /* the work has returned */
    pid_t parent;
    pid_t pid;
    int pidfd; /* readable when it has ended; ours to close with open_task_end */
};

/*
 * Starts it; work and context are set, and *task stays where it is. One at a time, of a process that has one thread and
 * no walls yet. All signals are blocked in it.
 */
bool open_task_start(struct open_task *task, struct error *error);

/*
 * Of one that has ended: whether the work succeeded; if not, it has set its own error. If something else has ended it,
 * this process says so and exits with 1: what the task did with its memory is half done.
 */
bool open_task_end(struct open_task *task);

/*
 * Nobody wants its result any more. It has a moment to finish; then it is killed, and left behind if it still waits in
 * the kernel. From then on, when this process exits it closes all of its descriptors, which are the task's as well:
 * nobody shall wait for the end of what a program prints that has ended.
 */
void open_task_abandon(struct open_task *task);

/* For who ends otherwise than by exit: the same, if a task was left behind. Also in the handler of a signal. */
void open_task_descriptors_close(void);

#endif
