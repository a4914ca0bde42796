/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stretches of two disks that are being compared that need not be looked at, as the tables that tell of them in both
 * images were met before, further to the front: whatever a comparison says of these, it has said there.
 */
#ifndef INSTAR_GUEST_OPERATIONS_READER_KNOWN_STRETCHES_H
#define INSTAR_GUEST_OPERATIONS_READER_KNOWN_STRETCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/image/image.h"
#include "guest/image/tables/table_memo.h"
#include "guest/runtime/arena.h"

struct known_stretches {
    struct image *images[2];
    struct table_memo memo; /* of two tables: where they were met first, bytes of the disk */
};

/* NULL where there is no memory for it, or where one of the images has no tables of which that could be said. */
struct known_stretches *known_stretches_make(struct arena *arena, struct image *first, struct image *second);

/* Up to where from an offset on an answer holds. */
struct known_stretch {
    bool is_known;
    uint64_t len; /* bytes, not 0 */
};

/* Several may ask, each from the front to the back: of one place all get the same answer. */
struct known_stretch known_stretches_look(struct known_stretches *known, uint64_t voff);

#endif
