/* SPDX-License-Identifier: Apache-2.0 */
/* What a scheduler is given to run the shards of a batch: a script for Slurm or GNU parallel, a Job for Kubernetes. */
#ifndef INSTAR_HOST_BATCH_SUBMIT_H
#define INSTAR_HOST_BATCH_SUBMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum submit_engine {
    SUBMIT_SLURM,
    SUBMIT_PARALLEL,
    SUBMIT_KUBERNETES,
    SUBMIT_ENGINE_COUNT,
};

const char *submit_engine_name(enum submit_engine engine);

struct submit_plan {
    enum submit_engine engine;
    uint32_t shard_count;
    uint32_t worker_count;    /* of each shard, and processors */
    uint32_t time_s;          /* that a shard may take, then it is told to drain; 0: no limit */
    uint64_t memory_len;      /* bytes that it may take; 0: as the scheduler has it */
    const char *manifest;     /* where all hosts find it */
    const char *const *words; /* what a shard runs, but for the number of shards: the program, "batch", ... */
    size_t word_count;
    const char *image; /* Kubernetes: of the container, and the claim of a volume, which is at /images */
    const char *claim;
};

/* Writes it. */
bool submit_write(const struct submit_plan *plan, FILE *stream, struct error *error);

/*
 * Gives it to the scheduler: writes it to "MANIFEST.ENGINE", and becomes sbatch, parallel or kubectl. Returns on
 * failure only.
 */
void submit_run(const struct submit_plan *plan, struct error *error);

#endif
