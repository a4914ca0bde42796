/* SPDX-License-Identifier: Apache-2.0 */
/* How a job came out, by how its process ended and by what it has said. */
#ifndef INSTAR_HOST_BATCH_WORKER_OUTCOME_H
#define INSTAR_HOST_BATCH_WORKER_OUTCOME_H

#include <stdbool.h>

#include "host/batch/results.h"
#include "host/batch/worker.h"

/* Of a worker whose process has ended. `is_stopped`: the batch has told its jobs to end. */
enum batch_outcome outcome_find(const struct worker *worker, bool is_stopped);

#endif
