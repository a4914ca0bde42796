/* SPDX-License-Identifier: Apache-2.0 */
/* Sends the progress messages that are due. */
#ifndef INSTAR_GUEST_OPERATIONS_JOB_PROGRESS_REPORT_H
#define INSTAR_GUEST_OPERATIONS_JOB_PROGRESS_REPORT_H

#include "guest/operations/job/progress.h"

/* Some of them: many can be due at once, at some 10 us each. Returns whether there may be more. */
bool progress_report(struct progress *progress);

#endif
