/* SPDX-License-Identifier: Apache-2.0 */
/* The jail of a job's child: what a job makes its process need (host/jail/jail.h). */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_JAIL_H
#define INSTAR_HOST_JOB_CHILD_CHILD_JAIL_H

#include "host/jail/jail.h"
#include "host/job/child/child.h"

/* What the process of `job` is made of. */
struct jail_config child_jail_config(const struct job *job, const struct child_ties *ties);

#endif
