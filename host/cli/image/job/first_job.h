/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job before the job: a command that has to know something of an image before it can say what its own job is. It runs
 * in a process of its own, so that nothing of it is left.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_FIRST_JOB_H
#define INSTAR_HOST_CLI_IMAGE_JOB_FIRST_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"
#include "base/error.h"
#include "host/cli/image/job/command_job.h"

/* Bytes of a result: what a pipe takes in one piece. */
#define FIRST_JOB_RESULT_LEN_MAX 4096u

/*
 * Runs the job in that process, calls first_job_tell with the result, and tells errors there: the exit code. Its
 * standard output is the way to us: nothing else goes there.
 */
typedef int (*first_job)(void *context);

/* For the job, before command_job_end, which closes standard output. */
MUST_CHECK bool first_job_tell(const void *result, size_t result_len, struct error *error);

/*
 * False, without an error, after one that the other process has told. The result is of this length. `command` is the
 * job that is to follow: its secrets are taken before, so that both processes have them.
 */
MUST_CHECK bool first_job_run(first_job job, void *context, struct command_job *command, void *result,
                              size_t result_len);

/*
 * A first job that asks what `info` tells of the first source, and nothing else of what the job is to do: `handler`
 * gets that, and makes of it the result. The exit code.
 */
int first_job_look(struct command_job *job, command_job_handler handler, void *context, const void *result,
                   size_t result_len);

#endif
