/* SPDX-License-Identifier: Apache-2.0 */
/* The end of every command that runs a job. */
#ifndef INSTAR_HOST_CLI_OUTCOME_H
#define INSTAR_HOST_CLI_OUTCOME_H

#include <stdbool.h>

#include "host/cli/machine_options.h"
#include "host/job/job.h"

/*
 * Prints the statistics if they are wanted, and the error if there is one. Returns the exit code; ends the
 * process by the signal that interrupted the job, if one did.
 */
int outcome_report(const char *program, const struct machine_options *options, bool success,
                   const struct job_result *result, const struct error *error);

#endif
