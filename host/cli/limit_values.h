/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of a job as users give them, by option and in the configuration file, and how these are combined. */
#ifndef INSTAR_HOST_CLI_LIMIT_VALUES_H
#define INSTAR_HOST_CLI_LIMIT_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/job/job.h"

enum limit {
    LIMIT_TIME,
    LIMIT_CPU,
    LIMIT_OUTPUT,
    LIMIT_MEMORY,
    LIMIT_EXITS,
    LIMIT_MIN_FREE, /* a limit from below, on the file systems of outputs */
    LIMIT_LINES,
    LIMIT_COUNT,
};

/* Limits from one place; the others are left to other places. */
struct limit_values {
    bool is_given[LIMIT_COUNT];
    uint64_t values[LIMIT_COUNT]; /* 0: no limit */
};

/* The limit of that name, "max-time" and so on; LIMIT_COUNT when there is none. */
enum limit limit_find(const char *name);

/* Takes the value `text` of a limit. `place` is where it stands, for messages. */
bool limit_take(struct limit_values *limits, enum limit limit, const char *place, const char *text,
                struct error *error);

/* For each limit, the value of the first layer that gives one; none has no limit. */
struct job_limits limits_resolve(const struct limit_values *const layers[], size_t layer_count);

#endif
