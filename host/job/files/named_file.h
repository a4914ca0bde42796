/* SPDX-License-Identifier: Apache-2.0 */
/* Files of text that the user names: configurations, secrets, and what a batch reads and adds to. */
#ifndef INSTAR_HOST_JOB_FILES_NAMED_FILE_H
#define INSTAR_HOST_JOB_FILES_NAMED_FILE_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Opens it for reading, where file_place_look leads. With `may_wait`, a FIFO is waited for. Returns 0, or an errno for
 * file_place_problem. The descriptor is the caller's.
 */
int named_file_open(const char *path, bool may_wait, int *ret_fd);

/*
 * Opens it for reading and appending, and makes it if it is not there. What others may have put there for us to write
 * to is refused, as an output of a job is, and a FIFO that is named. The descriptor is the caller's.
 */
bool named_file_append(const char *path, int *ret_fd, struct error *error);

#endif
