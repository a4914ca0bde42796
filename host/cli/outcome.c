/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/outcome.h"

#include <stdio.h>

#include "host/cli/report.h"
#include "host/cli/statistics_print.h"

int outcome_report(const char *program, const struct machine_options *options, bool success,
                   const struct job_result *result, const struct error *error)
{
    if (!success && result->signal_number != 0) {
        return report_interruption(result->signal_number);
    }
    /* Also of a job that failed: they may tell why. */
    if (options->job.want_statistics && result->has_statistics) {
        statistics_print(stdout, options->statistics_format, &result->statistics);
    }
    int exit_code = success ? EXIT_OK : report_error(program, error);
    return report_output_end(program, exit_code);
}
