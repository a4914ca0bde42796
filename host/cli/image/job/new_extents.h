/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The further files of a VMDK in files of 2 GiB whose disk becomes longer: how many it gets is to be known before the
 * job is there, as nothing can be opened then. A first job asks the image what it consists of.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_NEW_EXTENTS_H
#define INSTAR_HOST_CLI_IMAGE_JOB_NEW_EXTENTS_H

#include "base/attributes.h"
#include "host/cli/image/job/command_job.h"

/*
 * Of a job that is to give the disk of its only source another length, as its message says: fills in job->new_extents
 * and what the message says of them. False with an error, or without one after an error that was told.
 */
MUST_CHECK bool new_extents_choose(struct command_job *job);

#endif
