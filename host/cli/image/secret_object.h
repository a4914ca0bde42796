/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_CLI_IMAGE_SECRET_OBJECT_H
#define INSTAR_HOST_CLI_IMAGE_SECRET_OBJECT_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Checks a value of --object. Only secrets are known, as clients pass them for encrypted images. What they are for
 * cannot be read yet, and says so itself: nothing is kept. Whether there is a file that one names is another question,
 * which may wait for ever, and is asked when all options are known (host/cli/reach.h).
 */
bool secret_object_check(const char *text, struct error *error);
/* Of one that has been checked. */
bool secret_object_check_file(const char *text, struct error *error);

#endif
