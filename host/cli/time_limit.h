/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --max-time behind a job: what is printed when its result is there counts, too, as nobody may read it.
 */
#ifndef INSTAR_HOST_CLI_TIME_LIMIT_H
#define INSTAR_HOST_CLI_TIME_LIMIT_H

#include <stdint.h>

/* Before the job. `limit_s` 0: no limit. */
void time_limit_begin(const char *program, uint32_t limit_s);
/* After it: from now on, the program ends with a message and EXIT_ERROR when its time is over. */
void time_limit_enforce(void);

#endif
