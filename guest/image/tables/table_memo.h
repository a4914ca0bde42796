/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was found out of stretches of disks, by the tables that tell of them (format.h, table_at). An image of a few
 * kilobytes can lead a million stretches to one table: looked at once, it is not looked at again.
 *
 * Entries never go: what was answered once is answered for ever, whoever asks. When all are taken, nothing more is
 * remembered, and whoever asks has to look.
 */
#ifndef INSTAR_GUEST_IMAGE_TABLES_TABLE_MEMO_H
#define INSTAR_GUEST_IMAGE_TABLES_TABLE_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/image/image.h"

/* A power of two. More tables than that are a file of gigabytes with clusters of usual length. */
#define TABLE_MEMO_COUNT 16384u

struct table_memo_entry {
    bool is_taken;
    uint64_t tables[2]; /* of two images, or of one, and TABLE_NONE */
    uint64_t value;     /* the caller's */
};

/* All zeros at first. */
struct table_memo {
    uint32_t count; /* of entries that are taken: three quarters at most */
    struct table_memo_entry entries[TABLE_MEMO_COUNT];
};

/*
 * What is remembered of these tables; *ret_is_new: nothing was, and the caller sets the value. NULL: nothing is, and
 * there is no room.
 */
struct table_memo_entry *table_memo_find(struct table_memo *memo, uint64_t first, uint64_t second, bool *ret_is_new);

/*
 * The stretch that `voff` lies in, where one table tells of it and of all that is in it. False: nobody can say; an
 * error is found again by who looks at what is there.
 */
bool table_stretch_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch);

#endif
