/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files jobs make: by the directory that a name leads to and the name in it, whatever way there is written. One
 * that has several names (hard links) is written to where it is, so it counts by itself, too.
 */
#ifndef INSTAR_HOST_BATCH_OUTPUT_SET_H
#define INSTAR_HOST_BATCH_OUTPUT_SET_H

#include <stdbool.h>
#include <sys/types.h>

#include "host/batch/id_set.h"

/* All zeros is an empty set. */
struct output_set {
    struct id_set keys;
    /* The last directory, as most outputs are in the one in which the one before is. */
    char *directory;
    dev_t device;
    ino_t inode;
};

void output_set_release(struct output_set *set);
/*
 * Adds a name. Without `is_looked_at` only its directory is looked at, and not what stands there: shards have long
 * lists of outputs that are others' to make. *ret_is_new is false when it leads to one that is there. False: out of
 * memory.
 */
bool output_set_add(struct output_set *set, const char *path, bool is_looked_at, bool *ret_is_new);

#endif
