/* SPDX-License-Identifier: Apache-2.0 */
/* What a file that replaces another one takes over: owner, permissions, ACL, security labels, extended attributes. */
#ifndef INSTAR_HOST_JOB_OUTPUTS_OUTPUT_ATTRIBUTES_H
#define INSTAR_HOST_JOB_OUTPUTS_OUTPUT_ATTRIBUTES_H

#include <sys/stat.h>

/*
 * Gives `new_fd`, which is empty, what the open file `old_fd` with `status` has. Nothing that writing takes from a file
 * either: set-user-ID bits, capabilities, signatures. No right remains that the old one had not given, as a directory's
 * default ACL might have made one. Returns 0, or an errno when something cannot be kept.
 */
int output_attributes_copy(int old_fd, const struct stat *status, int new_fd);

#endif
