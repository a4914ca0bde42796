/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors by their numbers. */
#ifndef INSTAR_HOST_JOB_FILES_DESCRIPTORS_H
#define INSTAR_HOST_JOB_FILES_DESCRIPTORS_H

#include <stdbool.h>

#include "base/attributes.h"

/*
 * Closes all of [first, last], which may be empty; last INT_MAX: all from `first` on. False with errno. Calls nothing
 * that a process which has only just been forked may not.
 */
MUST_CHECK bool descriptors_close(int first, int last);

#endif
