/* SPDX-License-Identifier: Apache-2.0 */
/* The jail of a job's child: what a job makes its process need (host/jail/jail.h). */
#ifndef INSTAR_HOST_JOB_CHILD_JAIL_H
#define INSTAR_HOST_JOB_CHILD_JAIL_H

#include "host/jail/jail.h"
#include "host/job/job.h"

/* What the process of `job` is made of; `engine_name` is that of its engine (host/vmm/engine.h). */
struct jail_config child_jail_config(const struct job *job, const char *engine_name);

#endif
