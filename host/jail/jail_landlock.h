/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_LANDLOCK_H
#define INSTAR_HOST_JAIL_JAIL_LANDLOCK_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Takes from the calling thread, and those that it makes, every right that this kernel's Landlock knows: to files
 * by name, to TCP ports, and to abstract sockets and processes outside. What is open stays open. Needs no new
 * privileges first. *ret_has_landlock is false where the kernel has none.
 */
bool jail_landlock_restrict(bool *ret_has_landlock, struct error *error);

enum jail_landlock_use {
    JAIL_LANDLOCK_READ_FILE,    /* this file is read */
    JAIL_LANDLOCK_READ_BELOW,   /* files in and below this directory are read */
    JAIL_LANDLOCK_CHANGE_BELOW, /* regular files there are made, written, renamed and removed */
};

struct jail_landlock_rule {
    int fd; /* may be open by O_PATH */
    enum jail_landlock_use use;
};

/* For the job's parent: takes all rights but those of the rules, and neither signals nor what is open. */
bool jail_landlock_confine(const struct jail_landlock_rule *rules, unsigned int count, bool *ret_has_landlock,
                           struct error *error);

#endif
