/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jobs of a manifest's shard, several at a time. A bad job never stops the others. Signals that end a program (but
 * the first one) let those that run come to their end, and no other begin; the second one stops them; the third one
 * kills them.
 */
#ifndef INSTAR_HOST_BATCH_BATCH_H
#define INSTAR_HOST_BATCH_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/batch/manifest_shard.h"
#include "host/batch/results.h"
#include "host/batch/worker.h"

#define BATCH_WORKERS_MAX 1024u

struct batch_progress {
    uint64_t total_count; /* jobs of this shard */
    uint64_t good_count;  /* of this run */
    uint64_t bad_count;
    uint64_t skipped_count; /* done before (resume) */
    uint64_t counts[BATCH_OUTCOME_COUNT];
    uint32_t running_count;
    bool is_draining;
};

/* What the batch has to say, which is the caller's to print. NULL where nobody wants to know. */
struct batch_observer {
    void *context;
    void (*notice)(void *context, const char *line); /* said once for all jobs */
    /* Once: as a job cannot begin beside so many others. */
    void (*put_off)(void *context, const struct batch_progress *progress, const struct error *problem);
    void (*ended)(void *context, const struct batch_task *task, enum batch_outcome outcome,
                  const struct error *invalid);
    void (*draining)(void *context, const struct batch_progress *progress, uint32_t signal_count);
    void (*idle)(void *context, const struct batch_progress *progress);  /* several times a second */
    void (*asked)(void *context, const struct batch_progress *progress); /* SIGUSR1 */
    uint32_t idle_interval_ms;                                           /* 0: never */
};

struct batch_plan {
    const char *manifest; /* "-": standard input */
    const char *results;  /* the name of their file, without the shard */
    struct shard shard;
    bool resumes;
    uint32_t worker_count;
    uint32_t retry_count;       /* how often a job that failed is done again */
    uint64_t failure_count_max; /* no job begins after so many failures; 0: no limit */
    bool wants_digests;         /* of all outputs */
    size_t output_len_max;
    const char *const *options; /* for each job */
    size_t option_count;
    worker_command command;
};

struct batch_result {
    struct batch_progress progress;
    uint64_t torn_count; /* lines of old results that are none */
    int signal_number;   /* of the first signal that came; 0: none */
    bool was_stopped;    /* by failures */
};

/*
 * Runs the batch. True also when jobs have failed: `ret_result` tells; false, with *error, when the manifest cannot be
 * read or results cannot be written.
 */
bool batch_run(const struct batch_plan *plan, const struct batch_observer *observer, struct batch_result *ret_result,
               struct error *error);

#endif
