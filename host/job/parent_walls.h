/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parent of a running job gives up: it decodes what its child says, with no more rights than its own work
 * needs. No new privileges; of root's capabilities those for files and for ending the child; by Landlock, of all files
 * the outputs' directories, and those that the images may lead to, to read. For the rest of the process's life.
 */
#ifndef INSTAR_HOST_JOB_PARENT_WALLS_H
#define INSTAR_HOST_JOB_PARENT_WALLS_H

#include "host/job/openings.h"

/* When the child has been started. A kernel without Landlock goes without. */
bool parent_walls_raise(const struct job *job, const struct openings *openings, struct error *error);

#endif
