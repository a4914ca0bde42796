/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an output may store: as much as the job's limit leaves, and no more than leaves so much free on its file system
 * as must stay. Whoever stores something takes the room for it first, so nothing is stored that may not be, and says
 * when it is stored.
 *
 * Storage counts, not what is written: all blocks that a write touches, those that are under way, and nothing where the
 * file has storage already.
 */
#ifndef INSTAR_HOST_DEVICES_WRITE_ROOM_H
#define INSTAR_HOST_DEVICES_WRITE_ROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/devices/write_budget.h"

/* A file system of outputs, under the lock of their budget. */
struct write_disk {
    struct write_disk *next;
    dev_t number;
    uint64_t min_free_len;    /* bytes that must stay free */
    uint64_t granted_len;     /* may be taken before the file system is asked again, as others fill it, too */
    uint64_t pending_len;     /* was taken, and is not stored yet */
    uint64_t scattered_count; /* writes that did not begin where the one before them had ended */
    bool counts_late;         /* what was written a moment ago still counts as free there: */
    uint64_t first_free_len;  /* this was free when the job began, */
    uint64_t grown_len;       /* and so much have the outputs' files grown since then */
};

/* Of one output. All zero: everything may be stored. */
struct write_room {
    struct write_budget *budget; /* the caller's, as long as the room is used */
    struct write_disk *disk;     /* the budget's; NULL: its file system may be filled */
    int fd;                      /* the output's file */
    int content_fd;              /* what holds the content until the job ends, if that is not the file; else `fd` */
    uint64_t block_len;          /* the file system gives storage in such units */
    uint64_t next_off;           /* where the last write ended */
    uint64_t first_stored_len;   /* of the file, when the job began */
    uint64_t grown_len;          /* since then, when it was last looked at */
};

enum write_answer {
    WRITE_GRANTED,
    WRITE_OVER_LIMIT, /* the job's limit (--max-output) */
    WRITE_NO_ROOM,    /* too little would be free (--min-free) */
};

/*
 * What must stay free on the file system of `fd`: `wanted_len` bytes, or with UINT64_MAX what we think is right, which
 * is a twentieth of it, and 1 GiB at most.
 */
uint64_t write_room_min_free(int fd, uint64_t wanted_len);

/* For an output that has the job's limit only. */
struct write_room write_room_of_budget(struct write_budget *budget);
/* For a regular file that is open as `fd`; `min_free_len` is as above, and 0 is no bound. Before anything is written.
 */
MUST_CHECK bool write_room_of_file(struct write_room *ret_room, struct write_budget *budget, int fd,
                                   uint64_t min_free_len, struct error *error);

/*
 * Takes what a write to [off, off + len) stores. Asks the file system when what it said last is used up, and what the
 * file has there when that is too little. Nothing is taken unless the answer is WRITE_GRANTED; then *ret_pending_len is
 * to be handed to write_room_stored, once the write has been done or has failed.
 */
enum write_answer write_room_take(struct write_room *room, uint64_t off, uint64_t len, uint64_t *ret_pending_len);
/* The same without the limit, of which the caller has taken a part already. False: there is no room. */
bool write_room_take_storage(struct write_room *room, uint64_t off, uint64_t len, uint64_t *ret_pending_len);
void write_room_stored(struct write_room *room, uint64_t pending_len);

/* Says why a write was not granted. */
void write_room_refuse(const struct write_room *room, enum write_answer answer, struct error *error);

void write_disks_release(struct write_disk *disks);

#endif
