/* SPDX-License-Identifier: Apache-2.0 */
/* How many processors a job takes when the user has not said. */
#ifndef INSTAR_HOST_CLI_PROCESSOR_COUNT_H
#define INSTAR_HOST_CLI_PROCESSOR_COUNT_H

#include <stdint.h>

/*
 * From 1 to `max`: those that this process may run on; fewer where a control group gives it less time than these have,
 * or where there is no room for the threads, by a control group's limit of processes or RLIMIT_NPROC. What cannot be
 * read limits nothing. `root` is where /proc and /sys are: "" but in tests.
 */
uint32_t processor_count(uint32_t max, const char *root);

/* As many as a job takes when its user has not said: more decompress faster than any disk takes what comes out. */
#define PROCESSORS_OF_JOB_MAX 8u

/*
 * How many jobs are done at a time, from 1 to `max`: one for each processor; fewer where the limits of processes have
 * no room for all that so many jobs start, as each of them may take the processors that processor_count() says.
 */
uint32_t processor_count_jobs(uint32_t max, const char *root);

#endif
