/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as text, for the policy: nothing here looks at a file. Paths are absolute, of less than PATH_MAX bytes;
 * a clean one has no "." or "..", no empty components, and is "/" or ends without a slash.
 */
#ifndef INSTAR_HOST_JOB_POLICY_POLICY_PATH_H
#define INSTAR_HOST_JOB_POLICY_POLICY_PATH_H

#include <limits.h>

#include "base/span.h"

/*
 * What follows `directory`, which is canonical, in `path`; "." for the directory itself, NULL when the path does not
 * lie beneath it. It is left as it was written, since ".." after a link is the kernel's to resolve; only on the way
 * to the directory, ".." is text.
 */
const char *path_beneath(const char *path, const char *directory);

/*
 * `path` as a clean one, in memory of the caller's; NULL when it has "..", which links make ambiguous, or memory is
 * out.
 */
char *path_clean(const char *path);

/* The directory of what `path` names, clean; "/" for the root. */
void path_parent(const char *path, char parent[PATH_MAX]);

/*
 * What to call the file that the image at `referrer`, any path, names `name`: as QEMU does, the referrer's directory as
 * it was given, and the name. The caller's to free; NULL when memory is out. The name has no zero bytes.
 */
char *path_combine(const char *referrer, struct span name);

#endif
