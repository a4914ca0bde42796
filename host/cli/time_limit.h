/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --max-time behind a job: what is printed when its result is there counts, too, as nobody may read it.
 */
#ifndef INSTAR_HOST_CLI_TIME_LIMIT_H
#define INSTAR_HOST_CLI_TIME_LIMIT_H

#include <stdint.h>

/* The exit code of that end, where it is not EXIT_ERROR. */
void time_limit_fail_with(int code);
int time_limit_failure(void);
/* Before the job. `limit_s` 0: no limit. */
void time_limit_begin(const char *program, uint32_t limit_s);
/* After it: from now on, the program ends with a message when its time is over. */
void time_limit_enforce(void);

#endif
