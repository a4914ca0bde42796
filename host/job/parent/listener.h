/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Unix socket under a name of the user's, at which another program connects to the job's machine. The parent makes it
 * and takes the name away in the end; the child accepts.
 */
#ifndef INSTAR_HOST_JOB_PARENT_LISTENER_H
#define INSTAR_HOST_JOB_PARENT_LISTENER_H

#include "base/error.h"

struct listener {
    const char *path; /* the caller's; NULL: there is none */
    int fd;           /* -1 when this process does not need it any more */
};

/* `path` may be NULL: then there is none. Fails when something has the name. */
bool listener_open(struct listener *ret_listener, const char *path, struct error *error);
/* The child has it. */
void listener_close(struct listener *listener);
/* Nobody finds it any more. Closes it, too. */
void listener_remove(struct listener *listener);

#endif
