/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest reports, as lines: one per message. */
#ifndef INSTAR_HOST_CLI_STATUS_LINES_H
#define INSTAR_HOST_CLI_STATUS_LINES_H

#include "host/cli/line_budget.h"
#include "host/cli/output_console.h"
#include "host/job/job.h"

struct status_lines {
    struct console *console;
    struct line_budget budget; /* for messages; debug text has a bound of its own (host/devices/debug_port.h) */
};

/* Prints messages as they come, and debug lines; *lines, which it fills in, and the console must live as long as the
 * job. */
struct job_observer status_lines_observer(struct status_lines *lines, struct console *console,
                                          const struct job_limits *limits);

/* The result, when the output is where it belongs. */
void status_lines_complete(struct console *console, const instar_CompleteMessage *complete);

#endif
