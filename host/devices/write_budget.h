/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a job may store: one number for all of its outputs, whichever device writes. And how much must stay free on
 * the file system of a new one. Whoever stores something takes it first, so that nothing is stored that may not be.
 */
#ifndef INSTAR_HOST_DEVICES_WRITE_BUDGET_H
#define INSTAR_HOST_DEVICES_WRITE_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Of all outputs. */
struct write_budget {
    pthread_mutex_t lock; /* this, and the rooms of all outputs */
    uint64_t limit_len;   /* bytes; 0: no limit */
    uint64_t taken_len;   /* never above the limit, where there is one */
};

/* Without a limit on what is kept free. */
#define WRITE_ROOM_UNLIMITED (-1)

/* Of one output. */
struct write_room {
    struct write_budget *budget; /* the caller's, as long as the room is used; NULL: everything may be stored */
    int fd;                      /* on the file system that is not to be filled, or WRITE_ROOM_UNLIMITED */
    uint64_t min_free_len;       /* bytes that must stay free there */
    uint64_t granted_len;        /* bytes that were free beyond that when it was looked at, and are not taken yet */
};

void write_budget_init(struct write_budget *budget, uint64_t limit_len);
void write_budget_release(struct write_budget *budget);

/*
 * What must stay free on the file system of `fd`: `wanted_len` bytes, or with UINT64_MAX what we think is right, which
 * is a twentieth of it, and 1 GiB at most.
 */
uint64_t write_room_min_free(int fd, uint64_t wanted_len);

/*
 * Takes `len` bytes before they are stored. Asks the file system (fstatfs) when what it said last is used up, and every
 * 64 MiB, as others fill it, too. False, with ERROR_LIMIT, when they may not be stored; nothing is taken then.
 */
bool write_room_take(struct write_room *room, uint64_t len, struct error *error) MUST_CHECK;
/* The same for as many as there are, up to `len`; *error is why there are not more. What is not stored is given back.
 */
uint64_t write_room_take_some(struct write_room *room, uint64_t len, struct error *error);
void write_room_give_back(struct write_room *room, uint64_t len);

#endif
