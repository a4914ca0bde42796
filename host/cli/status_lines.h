/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest reports, as lines: one per message. */
#ifndef INSTAR_HOST_CLI_STATUS_LINES_H
#define INSTAR_HOST_CLI_STATUS_LINES_H

#include "host/cli/console.h"
#include "host/job/job.h"

/* Prints messages as they come, and debug lines; the console must live as long as the job. */
struct job_observer status_lines_observer(struct console *console);

/* The result, when the output is where it belongs. */
void status_lines_complete(struct console *console, const instar_CompleteMessage *complete);

#endif
