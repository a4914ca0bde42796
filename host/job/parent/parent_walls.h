/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parent of a running job gives up: it decodes what its child says, with no more rights than its own work
 * needs. No new privileges; of root's capabilities those for files and for ending the child; by Landlock, of all files
 * the outputs' directories; a list of system calls. For the rest of the process's life.
 *
 * And the process that opens files for it: by Landlock those that the images may lead to, to read; another list.
 */
#ifndef INSTAR_HOST_JOB_PARENT_PARENT_WALLS_H
#define INSTAR_HOST_JOB_PARENT_PARENT_WALLS_H

#include <sys/types.h>

#include "host/job/parent/openings.h"

/* When the job's other processes have been started. A kernel without Landlock goes without. */
bool parent_walls_raise(const struct openings *openings, pid_t child, pid_t opener, struct error *error);

/* In the process that opens files. */
bool parent_walls_raise_opener(const struct openings *openings, struct error *error);

#endif
