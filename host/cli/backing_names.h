/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories and files that images may lead to, by name, as the command line and the configuration give them.
 * Opening them may wait for ever, so that is done when all else is known, a time limit among it (host/cli/reach.h).
 */
#ifndef INSTAR_HOST_CLI_BACKING_NAMES_H
#define INSTAR_HOST_CLI_BACKING_NAMES_H

#include <stdbool.h>

#include "base/error.h"
#include "host/job/policy/policy.h"

struct backing_name {
    char *path;
    char *place; /* where the configuration has it, "FILE:LINE"; NULL: on the command line */
    bool is_file;
};

/* All zero has none. */
struct backing_names {
    unsigned int count;
    unsigned int file_count;
    struct backing_name list[POLICY_DIRECTORY_MAX + POLICY_FILE_MAX];
};

/*
 * Adds one. `place` may be NULL, and else begins the error of one that cannot be used; and one that the user may not
 * reach is left out then: the configuration is for all users.
 */
bool backing_names_add(struct backing_names *names, bool is_file, const char *path, const char *place,
                       struct error *error);
/* Opens them in their order, for the policy. */
bool backing_names_open(const struct backing_names *names, struct policy *policy, struct error *error);
void backing_names_release(struct backing_names *names);

#endif
