/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many lines of one sort a job may print: what an image or a guest says without end ends in nobody's log.
 * --max-lines says how many, of each sort; otherwise each has a default of its own.
 */
#ifndef INSTAR_HOST_CLI_LINE_BUDGET_H
#define INSTAR_HOST_CLI_LINE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "host/job/job.h"

/* Defaults. An image has as many runs if it is 640 GiB long and not two of its clusters of 64 KiB follow each other. */
#define LINES_OF_MAP 10000000u
#define LINES_OF_FINDINGS 100000u
#define LINES_OF_WARNINGS 1000u
#define LINES_OF_STATUS 1000000u

/* The lines that may be printed; UINT64_MAX: any number. `limits` are those of the job, complete. */
uint64_t line_budget_max(const struct job_limits *limits, uint64_t default_max);

struct line_budget {
    uint64_t max;
    uint64_t used; /* one more than max, at most */
};

enum line_verdict {
    LINE_PRINTED,
    LINE_FIRST_LEFT_OUT, /* the caller says so, once */
    LINE_LEFT_OUT,
};

/* One more line is to be printed. */
enum line_verdict line_budget_take(struct line_budget *budget);

#endif
