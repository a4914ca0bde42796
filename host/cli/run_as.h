/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the machine's process becomes, where root has started the job. */
#ifndef INSTAR_HOST_CLI_RUN_AS_H
#define INSTAR_HOST_CLI_RUN_AS_H

#include "base/error.h"
#include "host/job/job.h"

/* The system user that a package makes (docs/security.md). */
#define RUN_AS_DEFAULT "instar"

/*
 * A name in /etc/passwd, or a number: no program code of a directory service's is loaded to find one. Root is nobody
 * else: then *ret_user is not set. `place` is where the name stands, for messages.
 */
bool run_as_parse(const char *text, const char *place, struct job_user *ret_user, struct error *error);

/* The system user of the package, if there is one. The job does without where the system does not let it have another
 * user. */
struct job_user run_as_default(void);

#endif
