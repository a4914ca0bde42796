/* SPDX-License-Identifier: Apache-2.0 */
/* The extents of the disk that a chain is, one after the other, joined where that makes one out of several. */
#ifndef INSTAR_GUEST_OPERATIONS_READER_DISK_WALK_H
#define INSTAR_GUEST_OPERATIONS_READER_DISK_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image.h"
#include "guest/operations/reader/known_stretches.h"

/* Only at sectors (base/units.h) may parts of a disk be divided. */
struct disk_walk {
    struct image *image;
    uint64_t next_voff; /* all before this is known */
    uint64_t end_voff;
    uint64_t own_unit_len;        /* not 0: see disk_walk_own */
    const struct image *own_base; /* then */
    uint64_t own_end;             /* before this is known whether units are the image's own */
    bool is_own;
    bool takes_missing; /* what was cut off a file is zeros; otherwise an error */
    bool has_missing;   /* there was such a place: */
    uint64_t missing_voff;
    struct known_stretches *known; /* not NULL: what is known of the disk is handed out as zeros */
    struct known_stretch stretch;  /* its last answer, for what is before */
    uint64_t stretch_end;
    struct chain_extent ahead; /* looked at to be joined, and was another one */
    bool has_ahead;
};

/* The whole disk of `image`. */
void disk_walk_init(struct disk_walk *walk, struct image *image);

/*
 * Only what the chain has above `base`, an image of it, in units of `unit_len`: units of which no image above it has
 * anything become extents of the kind EXTENT_UNALLOCATED; the others are what the chain has. NULL: all of it. Before
 * the first extent.
 */
void disk_walk_own(struct disk_walk *walk, uint64_t unit_len, const struct image *base);

/* Whether all extents have been handed out. */
bool disk_walk_is_finished(const struct disk_walk *walk);

/*
 * The next extent. Zeros and data are joined with those that follow, data if it lies behind it in the same file, but
 * not where an extent ends within a sector. After an error, disk_walk_skip or nothing.
 */
MUST_CHECK bool disk_walk_next(struct disk_walk *walk, struct chain_extent *ret_extent, struct error *error);

/* Where disk_walk_next failed: one sector, or the disk's last part, is handed out as zeros. */
struct chain_extent disk_walk_skip(struct disk_walk *walk);

#endif
