/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor time of a job, as its parent counts it: its own, that of all threads of the child, and of the process
 * that executes the guest, where the engine makes one. The sum is what a limit means, whatever the engine.
 */
#ifndef INSTAR_HOST_JOB_PARENT_PROCESSOR_TIME_H
#define INSTAR_HOST_JOB_PARENT_PROCESSOR_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

/* This process, the child, and the guest's process. */
#define PROCESSOR_TIME_PROCESS_MAX 3u
/* How often the clocks are read: short beside a limit, which is a second at least. */
#define PROCESSOR_TIME_INTERVAL_MS 100u

struct processor_time {
    uint32_t limit_s; /* 0: none, and nothing is ever read */
    unsigned int process_count;
    struct {
        clockid_t clock;
        uint64_t used_ns; /* when it was last read: a process that is gone has no clock */
    } processes[PROCESSOR_TIME_PROCESS_MAX];
    uint64_t due_ms; /* when to read next, on the caller's clock */
};

void processor_time_init(struct processor_time *time, uint32_t limit_s);
/* Counts this process, which decodes and prints what the machine says: that may be more work than the machine has. */
void processor_time_add_own(struct processor_time *time);
/*
 * Counts a process. One that does not exist counts nothing, one too many is left out: the child names the guest's
 * process, and may have been taken over. What it gains is bounded by RLIMIT_CPU of each process
 * (host/job/child/child.c).
 */
void processor_time_add(struct processor_time *time, pid_t pid);
/* How long the caller may wait before the next check; UINT64_MAX without a limit. */
uint64_t processor_time_wait_ms(const struct processor_time *time, uint64_t now_ms);
/* Fails when the limit is exceeded. Does something only when it is time to. */
bool processor_time_check(struct processor_time *time, uint64_t now_ms, struct error *error);

#endif
