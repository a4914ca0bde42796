/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of an image, each written by a job of its own, that become one again (convert --join; guest/image/shard.h). */
#ifndef INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_JOIN_H
#define INSTAR_GUEST_OPERATIONS_CONVERT_CONVERT_JOIN_H

#include "guest/operations/job/image_job.h"

/*
 * Whether the images, which are open, are all parts of one, and none of them is there twice. Puts them in the order of
 * the disk.
 */
MUST_CHECK bool convert_join_sort(struct image **images, uint32_t count, struct error *error);

/* What a new image's structures are like, after it has been finished: an error where they are not sound. Waits. */
MUST_CHECK bool convert_join_check(struct image_job *job, const char *format, struct error *error);

#endif
