/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place for one job at a time, and the process that does it: forked from this one and not executed anew, which saves
 * a third of the time that a short job takes. The machine of the job is a process of its own, as in every job.
 *
 * The process is in a process group of its own (Ctrl-C at the terminal is for the batch alone), has /dev/null as
 * standard input and pipes as output, and dies with the batch.
 */
#ifndef INSTAR_HOST_BATCH_WORKER_H
#define INSTAR_HOST_BATCH_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "host/batch/account.h"
#include "host/batch/capture.h"
#include "host/batch/manifest.h"
#include "host/job/signals.h"

/* Runs a command, argv[0] is its name, and returns its exit code: in the job's process. */
typedef int (*worker_command)(struct batch_account *account, int argc, char **argv);

enum worker_stage {
    WORKER_FREE,
    WORKER_WAITS,   /* its job could not begin beside those that run */
    WORKER_RUNS,    /* the command */
    WORKER_DIGESTS, /* its output */
};

struct worker {
    enum worker_stage stage;
    struct batch_task task;
    uint32_t attempt; /* from 1 */
    bool is_leaving;  /* it has done all but to wait for its machine to be taken down */
    pid_t pid;
    int pidfd;
    struct capture output;
    struct capture errors;
    struct batch_account *account; /* shared with the process */
    int network_fd;                /* what its machines are in, one after the other; -1: not made yet, or none can be */
    bool has_tried_network;
    struct timespec begun; /* CLOCK_REALTIME */
    uint64_t begun_ns;     /* CLOCK_MONOTONIC, as is: */
    uint64_t ended_ns;
    /* Of the command's process, once it has ended. */
    int wait_status;
    uint64_t processor_us;
    uint64_t peak_memory; /* bytes, of its largest process */
};

struct worker_settings {
    worker_command command;
    const struct signals *signals; /* held by this process */
    size_t output_len_max;         /* of each stream */
};

/* *worker is zero. */
bool worker_init(struct worker *worker, struct error *error);
void worker_release(struct worker *worker);
/* Starts an attempt at worker->task. Where it cannot, the task is as it was. */
bool worker_start(struct worker *worker, const struct worker_settings *settings, struct error *error);
/* Starts to make the digest of its output. */
bool worker_digest(struct worker *worker, const struct worker_settings *settings, struct error *error);
/* The process has ended (its pidfd is readable): takes its status and what it has printed. */
void worker_reap(struct worker *worker);
/* Instead of a process: as if it had printed what is wrong, and failed. */
void worker_fail(struct worker *worker, const struct error *problem);
/* Sends a signal to the process, if there is one. */
void worker_signal(const struct worker *worker, int number);
/* Forgets the task. */
void worker_clear(struct worker *worker);

uint64_t worker_now_ns(void);

#endif
