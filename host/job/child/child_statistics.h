/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_STATISTICS_H
#define INSTAR_HOST_JOB_CHILD_CHILD_STATISTICS_H

#include "host/job/child/child_machine.h"

/* Makes *ret_event a Statistics event about a machine that has stopped and was not released. */
void child_statistics_fill(instar_JobEvent *ret_event, struct child_machine *child, uint64_t wall_ns);

#endif
