/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/processor_time.h"

#include <inttypes.h>

#include "base/checked.h"

#define NS_PER_S 1000000000ull

void processor_time_init(struct processor_time *time, uint32_t limit_s)
{
    *time = (struct processor_time){.limit_s = limit_s};
}

static void clock_add(struct processor_time *time, clockid_t clock)
{
    if (time->limit_s > 0 && time->process_count < PROCESSOR_TIME_PROCESS_MAX) {
        time->processes[time->process_count].clock = clock;
        time->process_count++;
    }
}

void processor_time_add_own(struct processor_time *time)
{
    clock_add(time, CLOCK_PROCESS_CPUTIME_ID);
}

void processor_time_add(struct processor_time *time, pid_t pid)
{
    clockid_t clock;
    /* 0 would be our own process. */
    if (time->limit_s > 0 && pid > 0 && clock_getcpuclockid(pid, &clock) == 0) {
        clock_add(time, clock);
    }
}

uint64_t processor_time_wait_ms(const struct processor_time *time, uint64_t now_ms)
{
    return time->limit_s == 0 ? UINT64_MAX : time->due_ms - min_u64(now_ms, time->due_ms);
}

bool processor_time_check(struct processor_time *time, uint64_t now_ms, struct error *error)
{
    if (time->limit_s == 0 || now_ms < time->due_ms) {
        return true;
    }
    uint64_t used_ns = 0;
    for (unsigned int i = 0; i < time->process_count; i++) {
        struct timespec used;
        if (clock_gettime(time->processes[i].clock, &used) == 0) {
            time->processes[i].used_ns = (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
        }
        used_ns += time->processes[i].used_ns;
    }
    if (used_ns > time->limit_s * NS_PER_S) {
        return error_set(error, ERROR_LIMIT, NULL,
                         "the job exceeded its limit of %" PRIu32 " s of processor time (--max-cpu)", time->limit_s);
    }
    time->due_ms = now_ms + PROCESSOR_TIME_INTERVAL_MS;
    return true;
}
