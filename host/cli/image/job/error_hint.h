/* SPDX-License-Identifier: Apache-2.0 */
/* What qemu-img says in further lines behind some of its errors, as scripts look for it. */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_ERROR_HINT_H
#define INSTAR_HOST_CLI_IMAGE_JOB_ERROR_HINT_H

#include "base/error.h"

/* The hint of an error with this reason, without the last line's end; NULL: it has none. */
const char *error_hint(enum error_reason reason);

#endif
