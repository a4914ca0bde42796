/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes from a pipe, as a file: a disk is looked at here and there, its length stands in what is made of it before
 * the first byte of data, and how long a pipe's content is nobody knows before its end. So it goes to a file without
 * a name in $TMPDIR, or /var/tmp, in pieces; zeros take no storage there, and nothing is left of it.
 */
#ifndef INSTAR_HOST_JOB_FILES_SPOOL_H
#define INSTAR_HOST_JOB_FILES_SPOOL_H

#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"

/*
 * Reads `fd` to its end; it stays the caller's. *ret_fd is open for reading. `path` is for errors. `min_free_len` bytes
 * stay free where it is stored, as on the file system of an output (job_limits); less than that is ERROR_LIMIT.
 */
MUST_CHECK bool spool_make(int fd, const char *path, uint64_t min_free_len, int *ret_fd, struct error *error);

#endif
