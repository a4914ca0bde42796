/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a file is. In a namespace of users (a container without root, unshare -Ur) all who are not mapped there look
 * like one, the kernel's overflow user: that two files are that one's says nothing.
 */
#ifndef INSTAR_HOST_JOB_FILES_FILE_OWNER_H
#define INSTAR_HOST_JOB_FILES_FILE_OWNER_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * Whether the user is one and not several. The first call reads files of /proc; a process that cannot any more has to
 * make it before.
 */
bool file_owner_is_one(uid_t owner);

/*
 * Whether what is in a directory belongs to the directory's owner: also known of users who look like one where nobody
 * but the owner may write.
 */
bool file_owner_is_of_directory(const struct stat *file, const struct stat *directory);

#endif
