/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs that cannot be replaced as a whole: something else than the name under which they are found would go on with
 * the old file. They are written in place, as qemu-img writes all.
 */
#ifndef INSTAR_HOST_JOB_OUTPUTS_OUTPUT_IN_PLACE_H
#define INSTAR_HOST_JOB_OUTPUTS_OUTPUT_IN_PLACE_H

#include "host/job/files/file_place.h"

/*
 * Why the file at `place`, open for writing as `fd` and nowhere else in this process, cannot be replaced: the end of a
 * sentence, "it has other names". NULL when nothing is known against it.
 */
const char *output_in_place_reason(const struct file_place *place, int fd);

#endif
