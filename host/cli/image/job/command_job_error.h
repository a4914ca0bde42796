/* SPDX-License-Identifier: Apache-2.0 */
/* The error that ends a command, in qemu-img's form. */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_ERROR_H
#define INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_ERROR_H

#include "host/cli/image/job/command_job.h"

/*
 * After a failure with a new target: says so in qemu-img's form, "TARGET: WHAT: ...", if the error is about the target
 * or its options.
 */
void command_job_explain_target(struct command_job *job, const char *target, const char *what);

/* Prints job.error, which there is, with the lines behind it, on standard error. */
void command_job_print_error(const struct command_job *job);

#endif
