/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two disks that are read in step: what each of them has at the same place, a stretch at a time, while what follows is
 * on its way. A disk that ends earlier goes on with zeros.
 */
#ifndef INSTAR_GUEST_OPERATIONS_DISK_PAIR_H
#define INSTAR_GUEST_OPERATIONS_DISK_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/operations/job/image_job.h"
#include "guest/operations/reader/reader.h"

/* A disk, and the part of it that is next. */
struct disk_side {
    struct image *image;
    struct reader *reader;
    bool has_part;
    struct reader_part part; /* what is left of it; never PLAIN or OTHERS */
};

struct disk_pair {
    struct io *io;
    struct disk_side sides[2];
    uint64_t voff; /* all before it was taken, of both */
    uint64_t end;  /* of the longer one, or what the caller wants to know about */
};

struct disk_pair_setup {
    const struct image_job *job;
    struct image *const *images; /* two */
    uint64_t end;
    uint64_t reserve_len; /* bytes of the job's arena that are left to others */
    bool splits_sectors;  /* as in struct reader_setup */
};

MUST_CHECK bool disk_pair_make(struct disk_pair *pair, const struct disk_pair_setup *setup, struct error *error);

/* Moves reading on. Sets *ret_has when both sides have a part at voff, which is before the end. */
MUST_CHECK bool disk_pair_fill(struct disk_pair *pair, bool *ret_has, struct error *error);

/* Both have a part: bytes that are next on both sides, one at least. */
uint64_t disk_pair_len(const struct disk_pair *pair);

/*
 * The first byte from `from` on that differs within the next `len` bytes, counted from voff; `len` when there is none.
 */
uint64_t disk_pair_difference(const struct disk_pair *pair, uint64_t from, uint64_t len);

/* `len` bytes of both parts are done with. */
void disk_pair_take(struct disk_pair *pair, uint64_t len);

/* A side has no part: waits for something to happen, also to the `others_pending` requests that the caller has. */
MUST_CHECK bool disk_pair_wait(struct disk_pair *pair, uint32_t others_pending, struct error *error);

/* Bytes that were read of both. */
uint64_t disk_pair_bytes_read(const struct disk_pair *pair);

#endif
