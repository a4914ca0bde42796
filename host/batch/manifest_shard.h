/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of a list of jobs is this process's: by an option, or by what a scheduler puts into the environment. */
#ifndef INSTAR_HOST_BATCH_MANIFEST_SHARD_H
#define INSTAR_HOST_BATCH_MANIFEST_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SHARD_COUNT_MAX 1000000u

struct shard {
    uint32_t number; /* 1 to count */
    uint32_t count;  /* 1: all is done here */
};

/* "I/N", I from 1 to N. `place` is where it stands, for messages. */
bool shard_parse(const char *text, const char *place, struct shard *ret_shard, struct error *error);

/*
 * What the environment says: SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX (Kubernetes' Indexed Jobs) or PARALLEL_SEQ
 * (GNU parallel). `count` is how many shards there are, 0 when the user has not said: Slurm alone tells that, too.
 * Without any of them, and `count` 0, all is one shard.
 */
bool shard_from_environment(uint32_t count, struct shard *ret_shard, struct error *error);

/* Whether the line of that number, from 0, is in this shard: in turn, so that jobs that are alike are spread. */
static inline bool shard_has(const struct shard *shard, uint64_t line)
{
    return line % shard->count == shard->number - 1;
}

#endif
