/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/job_descriptors.h"

#include <inttypes.h>
#include <sys/resource.h>

#include "base/checked.h"

/* What a job has open besides further outputs and the files that images lead to, directories included. */
#define DESCRIPTORS_BESIDE 1024u
/* Descriptors that a job needs at once, with as many vCPUs and images as it may have. */
#define DESCRIPTORS_MIN 256u

/*
 * As many files at once are more than a process may usually have open: each one with its directory, and once more on
 * its way to the child's numbers. Best effort: one too many is refused by name.
 */
static void room_make(const struct job *job)
{
    bool has_many = job->further_outputs.count > JOB_OWN_OUTPUT_MAX || job->late_device_count > JOB_CHAIN_DEVICE_MAX ||
                    job->input_count > JOB_OWN_INPUT_MAX;
    uint64_t count =
        DESCRIPTORS_BESIDE + 6ull * job->further_outputs.count + 4ull * job->input_count + job->late_device_count;
    struct rlimit limit;
    if (has_many && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < count) {
        limit.rlim_cur = min_u64(limit.rlim_max, count);
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Half of the numbers are for images (host/job/child/child_birth.c); the rest is for vCPUs, queues, pipes. */
static bool least_reserve(struct error *error)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_MIN) {
        return true;
    }
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MIN ? limit.rlim_max : DESCRIPTORS_MIN;
    return (limit.rlim_cur == DESCRIPTORS_MIN && setrlimit(RLIMIT_NOFILE, &limit) == 0) ||
           error_set(error, ERROR_HOST, NULL, "a job has up to %u files open, and may have %" PRIu64 " (ulimit -n)",
                     DESCRIPTORS_MIN, (uint64_t)limit.rlim_cur);
}

bool job_descriptors_reserve(const struct job *job, struct error *error)
{
    RETURN_IF_FAILED(least_reserve(error));
    room_make(job);
    return true;
}
