/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an operation reports its progress: which counts of sectors are due, in their order, each one once.
 * Sending them is the caller's.
 */
#ifndef INSTAR_GUEST_OPERATIONS_JOB_PROGRESS_H
#define INSTAR_GUEST_OPERATIONS_JOB_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* VmmConfig.progress_percent: 0 reports every 10 sectors, 1 to 99 at each multiple of it, 100 never. */
#define PROGRESS_EVERY_10_SECTORS 0u
#define PROGRESS_NEVER 100u

struct progress {
    uint64_t total_len; /* bytes */
    uint64_t sector_len;
    uint64_t total_sectors; /* the last one may be partial */
    uint64_t done_len;
    uint64_t reported_sectors;
    uint32_t percent;
    uint32_t reported_percent;
};

struct progress_report {
    uint64_t sectors;
    uint64_t bytes;
};

void progress_init(struct progress *progress, uint64_t total_len, uint64_t sector_len, uint32_t percent);

/* `len` more bytes are dealt with. */
void progress_add(struct progress *progress, uint64_t len);

/* Sets *ret_report to the next report that is due. False when none is. */
bool progress_next(struct progress *progress, struct progress_report *ret_report);

#endif
