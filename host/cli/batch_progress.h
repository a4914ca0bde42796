/* SPDX-License-Identifier: Apache-2.0 */
/* How far a batch is, on a terminal: jobs, rate, failures and time left in one line. */
#ifndef INSTAR_HOST_CLI_BATCH_PROGRESS_H
#define INSTAR_HOST_CLI_BATCH_PROGRESS_H

#include "host/batch/batch.h"
#include "host/cli/output_console.h"
#include "host/cli/progress_bar.h"

/* How often the line wants to be drawn, milliseconds. */
#define BATCH_PROGRESS_INTERVAL_MS 200u

struct batch_progress_line {
    struct console *console; /* of the terminal; NULL: there is none */
    uint64_t start_ns;
    uint64_t drawn_ns;
    size_t line_len; /* of what is on the terminal */
};

void batch_progress_init(struct batch_progress_line *line, struct console *console);
/* The line for a terminal of so many columns, after so many seconds. */
size_t batch_progress_format(char text[PROGRESS_LINE_LEN], unsigned int columns, const struct batch_progress *progress,
                             double seconds);
/* Draws when it is time to. */
void batch_progress_draw(struct batch_progress_line *line, const struct batch_progress *progress);
void batch_progress_clear(struct batch_progress_line *line);

/* At the end: "1000 jobs: 990 done, 10 refused; 5 were done before; 100 were not begun". */
void batch_summary_print(const struct batch_result *result);

#endif
