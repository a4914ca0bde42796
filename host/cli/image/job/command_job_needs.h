/* SPDX-License-Identifier: Apache-2.0 */
/* What a job of qemu-img's commands needs of its machine: memory, and devices for files that its images lead to. */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_NEEDS_H
#define INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_NEEDS_H

#include "host/cli/image/job/command_job.h"

/*
 * Sets the arena's lengths, the number of late devices and whether all formats are said in the machine's job, and the
 * memory of keys in the message, when sources, their layers and all outputs are set.
 */
void command_job_set_needs(struct command_job *job);

#endif
