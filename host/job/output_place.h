/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an output stands: the directory and the last component of its path, after symbolic links.
 */
#ifndef INSTAR_HOST_JOB_OUTPUT_PLACE_H
#define INSTAR_HOST_JOB_OUTPUT_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct output_place {
    int directory_fd; /* O_PATH */
    char name[NAME_MAX + 1];
    bool exists;
    struct stat status; /* of what exists there: a regular file or a block device */
};

/*
 * Whether what stands at `path` is known by a descriptor: the path is, or links to, one of those below /proc that lead
 * to an open file without any name (proc(5), "/proc/pid/fd"). Nothing below /proc can be replaced.
 */
bool output_place_is_descriptor(const char *path);

/* The caller closes directory_fd. */
bool output_place_open(struct output_place *ret_place, const char *path, struct error *error);

#endif
