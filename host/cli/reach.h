/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command does with files that the user names before its job: it looks at them, and reads a configuration.
 * Where a server is gone, or nobody writes to a pipe, any of that may wait for ever. So it is done in a task
 * (host/job/files/open_task.h), until the time limit has passed, or a signal comes, which end the program.
 */
#ifndef INSTAR_HOST_CLI_REACH_H
#define INSTAR_HOST_CLI_REACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

/* The limit for what comes from now on, seconds from the first call of anything here; 0: none. */
void reach_limit(uint32_t limit_s);

/* What the work returns; it has set its own error then. Also false when no task could be started, or time is over. */
bool reach_do(bool (*work)(void *context), void *context, struct error *error);

/* stat(2) and access(2). False with errno; when time is over, they end the program. */
bool reach_stat(const char *path, struct stat *ret_status);
bool reach_access(const char *path, int mode);

#endif
