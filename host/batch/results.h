/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results: a file of JSON lines to which each job's is appended by one write, so that whatever ends the batch costs at
 * most the line that is being written. Each shard has a file of its own, as appending is no single step on network file
 * systems.
 */
#ifndef INSTAR_HOST_BATCH_RESULTS_H
#define INSTAR_HOST_BATCH_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/batch/id_set.h"
#include "host/batch/manifest_shard.h"
#include "host/batch/worker.h"

/* How a job came out. Stable words: they are in files. */
enum batch_outcome {
    BATCH_DONE,        /* with an exit code that it accepts: the only good one */
    BATCH_REFUSED,     /* the image is damaged, not supported, or leads where it may not: again would be the same */
    BATCH_FAILED,      /* anything else that ends with an exit code */
    BATCH_LIMIT,       /* it passed one of its limits */
    BATCH_CRASHED,     /* a signal ended its process */
    BATCH_INTERRUPTED, /* because the batch was to stop */
    BATCH_INVALID,     /* the line of the manifest is no job */
    BATCH_OUTCOME_COUNT,
};

const char *batch_outcome_name(enum batch_outcome outcome);
/* BATCH_OUTCOME_COUNT: none is called so. */
enum batch_outcome batch_outcome_find(const char *name);

struct results {
    const char *path;
    int fd;
    const struct shard *shard;
    char host[256];
    char *line; /* memory for the next one */
    size_t line_room;
};

/* The file of a shard's results: `base`, or with ".I-of-N" behind it. The caller frees it; NULL without memory. */
char *results_path(const char *base, const struct shard *shard);

/*
 * Opens it for one process at a time, and ends a line that was torn. The file must not be there, or be empty, unless
 * `may_exist`, and not be the one of `manifest_fd`. `path` and `shard` have to live as long as it is open.
 */
bool results_open(struct results *ret_results, const char *path, const struct shard *shard, int manifest_fd,
                  bool may_exist, struct error *error);
void results_close(struct results *results);

/* Appends the result of the job that `worker` has ended, or of a line that was none, with what is wrong with it. */
bool results_add(struct results *results, const struct worker *worker, enum batch_outcome outcome, struct error *error);
bool results_add_invalid(struct results *results, const struct batch_task *task, const struct error *problem,
                         struct error *error);

#define RESULTS_KEY_LEN (MANIFEST_FINGERPRINT_LEN + MANIFEST_ID_LEN_MAX + 1)
/* By which a job is known in a set of those that are done. */
const char *results_key(char key[RESULTS_KEY_LEN], const char *fingerprint, const char *id);

/*
 * Adds to `good` the keys of jobs that are done by what all shards have written, and whose output is there as it was
 * then, by its length and time. A result that does not say what its job was is none of these. Lines that are none are
 * passed over: *ret_torn_count tells how many.
 */
bool results_find_good(const char *base, struct id_set *good, uint64_t *ret_torn_count, struct error *error);

#endif
