/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a job's parent keeps, once its child runs, and those of the process that opens files for it
 * (host/job/parent/opener.h). docs/security.md shows the table, and a test compares the two.
 *
 * What is not listed is not executed: the process says so, and ends with exit status 1.
 */
#ifndef INSTAR_HOST_JAIL_JAIL_PARENT_H
#define INSTAR_HOST_JAIL_JAIL_PARENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/jail/jail_calls.h"

/* Which process: jail_call.threads has a bit for each. */
enum jail_parent_role {
    JAIL_PARENT_RELAY,  /* hears the child, and prints */
    JAIL_PARENT_OPENER, /* opens files that images name */
    JAIL_PARENT_ROLE_COUNT,
};

/* What the job has: jail_call.parts. Nothing: JAIL_PARTS_ALL. */
enum jail_parent_part {
    JAIL_PARENT_OUTPUT = 1u << 0,     /* an output */
    JAIL_PARENT_NEW_OUTPUT = 1u << 1, /* one that gets its name, or another one's, at the end */
    JAIL_PARENT_FILES = 1u << 2,      /* files that images lead to: a socket to who opens them, and one to the child */
};

struct jail_parent_config {
    enum jail_parent_role role;
    uint32_t parts;    /* enum jail_parent_part */
    pid_t children[2]; /* whom it may end; 0: nobody */
};

extern const struct jail_call jail_parent_calls[];
extern const size_t jail_parent_call_count;

bool jail_parent_call_is_kept(const struct jail_call *call, uint32_t parts, enum jail_parent_role role);

/*
 * For the rest of the process's life. It has no new privileges any more, and one thread. Does nothing in builds with a
 * sanitizer, which are for tests.
 */
bool jail_parent_confine(const struct jail_parent_config *config, struct error *error);

#endif
