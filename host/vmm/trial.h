/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out what a guest can execute here: in a machine of its own, which ends with it. */
#ifndef INSTAR_HOST_VMM_TRIAL_H
#define INSTAR_HOST_VMM_TRIAL_H

#include "base/span.h"
#include "host/vmm/engine.h"

/*
 * Executes `code`, up to a page that runs at any address, as a guest's first instructions. On success *ret_reaches_port
 * says whether it got to a port instruction; otherwise it faulted, halted or never ended by itself but for a signal.
 */
bool trial_run(const struct engine_operations *operations, struct span code, bool *ret_reaches_port,
               struct error *error);

#endif
