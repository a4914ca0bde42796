/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be read of an image's old and new backing files to know where they differ for it: a view is a disk like
 * the image's, in which everything that makes no difference is zeros, namely units of the image's own, and units that
 * both backing files have at the same place of the same file. The two views of a pair have zeros at the same units, so
 * that whoever compares them finds the differences that matter, and reads nothing else.
 */
#ifndef INSTAR_GUEST_OPERATIONS_REBASE_VIEW_H
#define INSTAR_GUEST_OPERATIONS_REBASE_VIEW_H

#include "guest/image/image.h"

struct rebase_view {
    struct image image; /* what is to be read: it has one of the two behind it */
    struct image *overlay;
    struct image *backings[2]; /* old and new; NULL: there is none, or zeros */
    uint64_t unit_len;         /* bytes, a power of two: what the overlay has or has not */
    uint64_t start;            /* of what is known: */
    uint64_t end;
    bool is_equal; /* [start, end) makes no difference */
};

/* `side`: 0 shows the old one, 1 the new one. */
void rebase_view_init(struct rebase_view *view, struct image *overlay, struct image *const backings[2],
                      uint64_t unit_len, uint32_t side);

#endif
