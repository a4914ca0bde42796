/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's policy on files that images name: backing files, data files. The guest can only ask; the answer is
 * made of rules that the user gave, never of anything in an image.
 *
 * By default an image may lead to regular files in or below its own directory. Other directories are allowed by
 * policy_allow (--backing-dir, the configuration file); policy.no_backing closes everything.
 */
#ifndef INSTAR_HOST_JOB_POLICY_H
#define INSTAR_HOST_JOB_POLICY_H

#include <limits.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/span.h"

/* More directories than anybody lists by hand. */
#define POLICY_DIRECTORY_MAX 64u

/* A directory that is held: whatever is renamed or linked later, it stays the one that was meant. */
struct policy_directory {
    int fd;     /* O_PATH, close-on-exec */
    char *path; /* canonical, when it was opened: what names are compared with */
};

/* All zero is the default rule. */
struct policy {
    bool no_backing; /* refuse all */
    unsigned int directory_count;
    struct policy_directory directories[POLICY_DIRECTORY_MAX];
};

void policy_release(struct policy *policy);

/* Allows regular files in and below `path`, a directory. */
bool policy_allow(struct policy *policy, const char *path, struct error *error);

/*
 * Opens the directory in which names of the image at `image_path` start: as in QEMU the one that the path names,
 * also when its last component is a symbolic link to an image elsewhere. The image itself need not exist.
 */
bool policy_directory_open(const char *image_path, struct policy_directory *ret_directory, struct error *error);
/* Of an all-zero directory, nothing. */
void policy_directory_release(struct policy_directory *directory);

/* What is to be done with a file. */
enum policy_use {
    POLICY_READ,
    POLICY_CHANGE,
};

/* What policy_open found. */
struct policy_file {
    int fd;              /* close-on-exec, a regular file; the caller's */
    char path[PATH_MAX]; /* a canonical directory, and the file's name in it */
};

/*
 * Opens the file that an image in `directory` calls `name`: relative to the directory, or absolute. The name is
 * untrusted: any bytes, of any length. A refusal is ERROR_REFUSED, without a place, and tells why and which option
 * would allow the file when one would; a file that is allowed but cannot be opened is ERROR_IO. Nothing was opened
 * then, and nothing outside of the allowed directories was looked at.
 *
 * *ret_directory is where names in the file start, for the caller to release; NULL: nobody wants to know.
 */
bool policy_open_at(const struct policy *policy, const struct policy_directory *directory, struct span name,
                    enum policy_use use, struct policy_file *ret_file, struct policy_directory *ret_directory,
                    struct error *error);

/*
 * The same to read, with the directory looked up now. Whoever can rename directories on the way to the image decides
 * which one that is: a job whose images lie in other people's directories holds them from its start instead.
 */
bool policy_open(const struct policy *policy, const char *image_path, struct span name, struct policy_file *ret_file,
                 struct error *error);

#endif
