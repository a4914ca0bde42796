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

struct policy {
    bool no_backing; /* refuse all */
    unsigned int directory_count;
    char *directories[POLICY_DIRECTORY_MAX]; /* canonical paths */
};

void policy_release(struct policy *policy);

/* Allows regular files in and below `directory`, which exists. */
bool policy_allow(struct policy *policy, const char *directory, struct error *error);

/* What policy_open found. */
struct policy_file {
    int fd; /* read-only, close-on-exec, a regular file; the caller's */
    char path[PATH_MAX];
};

/*
 * Opens the file that the image at `image_path` calls `name`: relative to the image's directory, or absolute. The
 * name is untrusted: any bytes, of any length. A refusal is ERROR_REFUSED, tells why, and which option would allow
 * the file when one would; nothing was opened for reading then.
 */
bool policy_open(const struct policy *policy, const char *image_path, struct span name, struct policy_file *ret_file,
                 struct error *error);

#endif
