/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors a job may have open: the limit of this process, and of those that it makes. */
#ifndef INSTAR_HOST_JOB_PARENT_JOB_DESCRIPTORS_H
#define INSTAR_HOST_JOB_PARENT_JOB_DESCRIPTORS_H

#include "host/job/job.h"

/*
 * Raises the limit (RLIMIT_NOFILE) to what the job needs, as far as it may be. Fails when not even a job of few files
 * would have enough.
 */
bool job_descriptors_reserve(const struct job *job, struct error *error);

#endif
