/* SPDX-License-Identifier: Apache-2.0 */
/* Of a job of qemu-img's commands, its images: what the user names becomes devices, the ImageJob, and what it needs. */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_SETUP_H
#define INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_SETUP_H

#include "host/cli/image/job/command_job.h"

/*
 * Fills in the machine's job and its message, when all sources and options are known. The message's bytes are there
 * until this is called again. False with job->error.
 */
MUST_CHECK bool command_job_set_up(struct command_job *job);

/* After the job, whatever became of it: secrets are wiped. */
void command_job_forget(struct command_job *job);

/* The device that has a source: an output comes behind all that is read. */
uint32_t command_job_source_device(const struct command_job *job, unsigned int source);

/* Whether an image is written where it is. When the job is set up. */
bool command_job_changes_image(const struct command_job *job);

#endif
