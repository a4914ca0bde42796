/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a VMDK may consist of, where it is changed in place: by their names beside it, as VMware and qemu-img
 * give them. Nothing of the image is looked at: which of them are its own, its descriptor says to the guest.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_IMAGE_EXTENTS_H
#define INSTAR_HOST_CLI_IMAGE_IMAGE_EXTENTS_H

#include <stdbool.h>

#include "base/error.h"
#include "host/job/job.h"

/* What a descriptor that is a file of its own may have, bytes: 2,048 lines of a name and two numbers. */
#define IMAGE_DESCRIPTOR_LEN_MAX (128 << 10)

/*
 * Adds outputs of the role JOB_OUTPUT_EXTENT for the image at `path`, output number `owner` of the job: NAME-flat.vmdk,
 * NAME-s001.vmdk and so on, NAME-f001.vmdk and so on, of NAME.vmdk; as long as there are such files, which are regular,
 * have no other name and are the image's owner's. None where the image is called otherwise, or is longer than a
 * descriptor.
 */
bool image_extents_take(struct job *job, const char *path, unsigned int owner, struct error *error);

#endif
