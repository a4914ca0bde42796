/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of names. Its memory is not inherited by processes that are forked, so that these are made as fast whether a
 * batch has ten jobs or a million.
 */
#ifndef INSTAR_HOST_BATCH_ID_SET_H
#define INSTAR_HOST_BATCH_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_set {
    char *text; /* of each name its index, a size_t, then the name with its terminator */
    size_t text_len;
    size_t text_room;
    uint64_t *slots;   /* offsets in `text` plus 1; 0: free */
    size_t slot_count; /* a power of two, or 0 */
    size_t count;
};

/* All zeros is an empty set. */
void id_set_release(struct id_set *set);
bool id_set_has(const struct id_set *set, const char *id);
/* Adds a name, which may be there. False when there is no memory. */
bool id_set_add(struct id_set *set, const char *id);
/* The same; *ret_index counts names from 0 in the order in which they came first. */
bool id_set_add_indexed(struct id_set *set, const char *id, size_t *ret_index);

#endif
