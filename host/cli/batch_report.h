/* SPDX-License-Identifier: Apache-2.0 */
/* A batch's report as the user reads it. Names and reasons come from results, and those from images: as escape.h. */
#ifndef INSTAR_HOST_CLI_BATCH_REPORT_H
#define INSTAR_HOST_CLI_BATCH_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "host/batch/result_report.h"

enum batch_report_format {
    BATCH_REPORT_TEXT,
    BATCH_REPORT_JSON,
    BATCH_REPORT_SVG,
};

/* Sorts the jobs: nothing can be added afterwards. */
bool batch_report_print(struct report *report, enum batch_report_format format, FILE *stream, struct error *error);

#endif
