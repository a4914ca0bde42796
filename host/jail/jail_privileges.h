/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_PRIVILEGES_H
#define INSTAR_HOST_JAIL_JAIL_PRIVILEGES_H

#include <stdbool.h>

#include "base/error.h"

/*
 * No new privileges, no capabilities, no core dump, and nobody of the same user may trace the process. Threads that
 * are made later inherit it; the parent-death signal stays.
 */
bool jail_privileges_drop(struct error *error);

/* For the job's parent: no new privileges, and of the capabilities those for work on files and for ending the child. */
bool jail_privileges_keep_files(struct error *error);

#endif
