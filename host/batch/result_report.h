/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came out of a manifest's jobs, by the results of all shards. Of a job with several results the good one counts,
 * or the last one. Without the manifest all jobs are its.
 */
#ifndef INSTAR_HOST_BATCH_RESULT_REPORT_H
#define INSTAR_HOST_BATCH_RESULT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/batch/id_set.h"
#include "host/batch/results.h"

struct report_job {
    enum batch_outcome outcome;
    uint32_t good_count; /* results; more than one: it was done again, or twice at once */
    double seconds;
    double processor_seconds;
    uint64_t input_len;
    uint64_t output_len;
    char *id;
    char *reason; /* the last line of its errors; NULL: none, or it is good */
    bool is_past; /* a line of the manifest that was no job, and has been one since */
};

struct report {
    struct id_set ids;
    struct report_job *jobs; /* by the index of the id */
    size_t job_count;
    size_t job_room;
    bool has_manifest;
    struct id_set manifest_ids;
    uint64_t *id_lines; /* where each of them is first, by its index */
    size_t id_line_room;
    uint64_t manifest_count; /* jobs of the manifest */
    uint64_t line_count;     /* of its lines, with those that are blank */
    uint64_t other_count;    /* results of what is no job of the manifest, which count nowhere else */
    uint64_t strange_count;  /* lines that are no results, or none that this version knows */
    uint64_t counts[BATCH_OUTCOME_COUNT];
    double seconds;
    double processor_seconds;
    uint64_t input_len;
    uint64_t output_len;
};

/* *report is zero. It is to be released, also on failure. */
bool report_read(struct report *report, const char *manifest, const char *results, struct error *error);
void report_release(struct report *report);

#endif
