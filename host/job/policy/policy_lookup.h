/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking files up for the policy (host/job/policy/policy.h): the kernel resolves a path beneath a directory that is
 * held. No link leads out of it, no ".." does, nor a magic link of /proc, nor a mounted file system.
 */
#ifndef INSTAR_HOST_JOB_POLICY_POLICY_LOOKUP_H
#define INSTAR_HOST_JOB_POLICY_POLICY_LOOKUP_H

#include <stdint.h>

#include "host/job/policy/policy.h"

/* What to open: `beneath` the directory, "." for itself. */
struct policy_target {
    const struct policy_directory *directory;
    const char *beneath;
    bool leads_anywhere; /* by links, out of the directory: to a file that the user named */
};

/* A handle on it, by further `flags` of open. -1 with errno: EXDEV when the way leads out. */
int policy_lookup(const struct policy_target *target, uint64_t flags);

/*
 * The same for a file that the user named: links may lead anywhere. Only what is then found to
 * be that file may be used.
 */
int policy_lookup_anywhere(const struct policy_target *target, uint64_t flags);

/* Whether a component of the path is hidden: begins with a dot, and is neither "." nor "..". */
bool policy_path_is_hidden(const char *path);

/* A directory and its path; takes over `fd`, which may be negative. False with errno. */
bool policy_directory_take(int fd, struct policy_directory *ret_directory);

#endif
