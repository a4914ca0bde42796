/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signals that end a job early. While they are held, they arrive at a file descriptor instead of killing the
 * process, so that the job can stop its child and remove what it wrote.
 */
#ifndef INSTAR_HOST_JOB_SIGNALS_H
#define INSTAR_HOST_JOB_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

#include "base/error.h"

struct signals {
    int fd;            /* a signalfd */
    sigset_t held;     /* only signals that were not ignored: `nohup instar` survives a hangup */
    sigset_t old_mask; /* for release */
    struct sigaction old_child_action;
    struct sigaction old_file_size_action;
};

bool signals_hold(struct signals *ret_signals, struct error *error);
/* Restores everything. A signal that is pending takes its usual effect in here. */
void signals_release(struct signals *signals);
/* Takes a signal that arrived; returns its number, or 0. SIGNALS_PROGRESS ends nothing. */
int signals_take(const struct signals *signals);

/* Asks a job how far it is, as qemu-img is asked; the job goes on. */
#define SIGNALS_PROGRESS SIGUSR1
/* Whether one has arrived that nobody took yet. */
bool signals_is_pending(void);
/* In a forked child: it ignores the signals that its parent holds, and blocks none of them. */
void signals_ignore_in_child(const struct signals *signals);

#endif
