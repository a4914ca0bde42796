/* SPDX-License-Identifier: Apache-2.0 */
/* A backing file that the user names for an image, as something for the job to read. */
#ifndef INSTAR_HOST_CLI_IMAGE_BACKING_SOURCE_H
#define INSTAR_HOST_CLI_IMAGE_BACKING_SOURCE_H

#include "host/cli/image/job/command_job.h"

/*
 * Adds the file that `name` means in the image at `image_path`, as the next source. Of one job only once. `format` is
 * NULL where none was given.
 */
MUST_CHECK bool backing_source_add(struct command_job *job, const char *image_path, const char *name,
                                   const char *format);

#endif
