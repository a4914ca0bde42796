/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a new output stays out of sight while it is written, and comes under its name (host/job/outputs/output_file.h
 * says what that promises). All return 0 or an errno.
 */
#ifndef INSTAR_HOST_JOB_OUTPUTS_OUTPUT_PUBLISH_H
#define INSTAR_HOST_JOB_OUTPUTS_OUTPUT_PUBLISH_H

#include "host/job/outputs/output_file.h"

/* Opens output->fd: an empty file in the directory, without a name or, as some file systems want it, a temporary one.
 */
int output_unseen_create(struct output_file *output, bool forbid_unnamed);

/* Puts it under its name, over what stands there. */
int output_publish(struct output_file *output);

/* Puts it under its name, where nothing stands: EEXIST. */
int output_publish_new(struct output_file *output);

/* Removes what stands under its name, before output_publish. Returns 0 or an errno. */
int output_withdraw(const struct output_file *output);

/* The name is on stable storage then. */
int output_directory_sync(const struct output_file *output);

/* Closes output->fd, and removes the temporary name if there is one. */
void output_unseen_drop(struct output_file *output);

#endif
