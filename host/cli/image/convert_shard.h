/* SPDX-License-Identifier: Apache-2.0 */
/* convert --shard and --join: one image by several jobs, on several hosts. */
#ifndef INSTAR_HOST_CLI_IMAGE_CONVERT_SHARD_H
#define INSTAR_HOST_CLI_IMAGE_CONVERT_SHARD_H

#include "host/cli/image/convert_options.h"

/* Images that can be joined: as many as a job reads. */
#define JOINED_PARTS_MAX 128u

/* What does not go together with --shard or --join. The job's message has what is the guest's to know. */
bool convert_shard_check(const struct convert_options *options, struct command_job *job);

/*
 * Puts into the request by what parts of the same image know each other: a digest of the lengths and times of the files
 * that the user named, of what devices are known by (host/job/files/device_identity.h), of the snapshot, of --salvage,
 * and of the parts of files and disks; the guest adds the format in which the source is read and its length. So a
 * source that is written to between two shards is another one; a copy of it is the same where the copy keeps the time
 * (cp -p, rsync -t). The job has its sources.
 */
bool convert_shard_take_source(struct command_job *job);

#endif
