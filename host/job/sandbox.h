/* SPDX-License-Identifier: Apache-2.0 */
/* Which engine a job runs on. */
#ifndef INSTAR_HOST_JOB_SANDBOX_H
#define INSTAR_HOST_JOB_SANDBOX_H

#include "host/job/job.h"
#include "host/vmm/engine.h"

/*
 * Chooses the engine for `sandbox`. With JOB_SANDBOX_AUTO and no KVM it is a process, and *ret_notice says why;
 * otherwise *ret_notice stays as it is. Fails when the wanted engine cannot be used here.
 */
bool sandbox_choose(enum job_sandbox sandbox, const struct engine_operations **ret_engine, struct error *ret_notice,
                    struct error *error);

#endif
