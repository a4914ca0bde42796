/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a path that the user names leads: the directory and the last component, after symbolic links, and a handle on
 * what stands there (host/job/files/file_handle.h). What is looked at by the handle is what is opened.
 *
 * No link is followed, anywhere on the way, that belongs neither to us nor to the owner of its directory, where that is
 * one that everybody may write to, or a sticky one of a group. For root, that is so in every directory.
 */
#ifndef INSTAR_HOST_JOB_FILES_FILE_PLACE_H
#define INSTAR_HOST_JOB_FILES_FILE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct file_place {
    /* O_PATH; -1 when a link of /proc/self/fd leads straight to the file, which then has no name that we know. */
    int directory_fd;
    int named_fd; /* O_PATH: the directory that the path names, before the link is followed that its last component is
                   */
    char name[NAME_MAX + 1];
    int handle;         /* O_PATH on what stands there, never a link; -1: nothing does */
    struct stat status; /* of that */
};

/*
 * On success the caller releases the place. A place whose directory is missing is an error, one where nothing stands is
 * none. `reason`: ERROR_REASON_OPEN or _CREATE, of the error.
 */
bool file_place_find(struct file_place *ret_place, const char *path, enum error_reason reason, struct error *error);
void file_place_release(struct file_place *place);

/* The same without words: 0, or an errno, which file_place_problem puts into words. */
int file_place_look(struct file_place *ret_place, const char *path);
const char *file_place_problem(int result);

/*
 * Of what stands there, and is to be written to: in a sticky directory that others may write to (/tmp), a file that is
 * neither ours nor the directory's owner's may have been put there for us to fill, and at the other end of a pipe
 * somebody else reads.
 */
bool file_place_is_trap(const struct file_place *place);
/*
 * Where others may make names, or for root in anybody's directory, one of several names of a file may be a trap that
 * leads to a file elsewhere: where fs.protected_hardlinks is not set, anybody may give any file another name.
 */
bool file_place_name_is_trap(const struct file_place *place);
#define FILE_PLACE_TRAP "it belongs to somebody else, in a directory that others may write to"
#define FILE_PLACE_NAME_TRAP "it has other names (hard links), and somebody else may have made this one"

/* Whether it is known by a descriptor (/dev/stdout, /proc/self/fd/9): nothing can be put in its place. */
bool file_place_is_descriptor(const struct file_place *place);

/* Opens what stands there, as file_handle_open; -1 with errno. Also where /proc is missing. */
int file_place_open(const struct file_place *place, int flags);

#endif
