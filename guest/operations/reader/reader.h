/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the disk that a chain is, from its start to its end: the next stretches are read and decompressed while the
 * caller works on this one, and come out in the order of the disk. Memory is what it was given, whatever the disk.
 *
 * For vCPU 0. The way to use it, until reader_is_finished:
 *
 *     reader_advance; reader_take as long as there is a part, and do something with it; reader_wait.
 */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image.h"
#include "guest/image/io.h"
#include "guest/operations/reader/known_stretches.h"
#include "guest/operations/reader/reader_part.h"
#include "guest/operations/reader/reader_slot.h"
#include "guest/runtime/arena.h"

struct reader_setup {
    struct image *const *images; /* all that will be read, one after the other */
    uint32_t image_count;
    struct io *io;
    struct arena *arena;
    uint32_t vcpu_count;
    uint64_t memory_len;    /* bytes of the arena to take at most */
    uint64_t plain_len_min; /* plain data of at least this length is not read; UINT64_MAX: all is */
    bool salvage;           /* what cannot be read becomes zeros, and a warning */
    /*
     * Where an extent ends within a sector, a part ends. Otherwise parts begin and end at sectors, except that of a
     * disk that ends within one.
     */
    bool splits_sectors;
    uint64_t own_unit_len;        /* not 0: of each image, only what disk_walk_own says */
    const struct image *own_base; /* above this one; NULL: above the image that is right behind */
};

struct reader;

/* Fails when the memory is not enough for two slots. */
MUST_CHECK bool reader_make(const struct reader_setup *setup, struct reader **ret_reader, struct error *error);

/* Begins with a disk. What was taken of another one has been released. */
void reader_start(struct reader *reader, struct image *image);

/* The same with the bytes from `start_voff` to `end_voff` only, which lie within the disk. */
void reader_start_part(struct reader *reader, struct image *image, uint64_t start_voff, uint64_t end_voff);

/* After a start: what is known of the disk is not read, and becomes zeros (known_stretches.h). */
void reader_skip_known(struct reader *reader, struct known_stretches *known);

/*
 * After a start: plain data is not read but looked at by the host, in units of 2^unit_bits bytes that lie at such
 * multiples of the disk. What is data of them becomes PLAIN parts, of whole units. Where a file's host cannot look, and
 * what is not worth it, is read.
 */
void reader_find_zeros(struct reader *reader, uint32_t unit_bits);

/* Whether all parts have been taken. */
bool reader_is_finished(const struct reader *reader);

/* Moves on what can be moved on, without waiting: plans, submits, hands out work. The caller waits or polls. */
void reader_advance(struct reader *reader);

/*
 * Sets *ret_is_taken, and *ret_part if that is true: false means that the next part is not ready. An error comes when
 * it is its turn: all parts before it have been taken.
 */
MUST_CHECK bool reader_take(struct reader *reader, struct reader_part *ret_part, bool *ret_is_taken,
                            struct error *error);

/* Parts have users: one when they are taken, then as many as keep and release say. Those without bytes are ignored. */
void reader_keep(const struct reader_part *part);
void reader_release(struct reader *reader, const struct reader_part *part);

/*
 * Waits until there is a reason to advance: a request is done, of the reader's or of the *others_pending that the
 * caller has under way (its `done` counts down), or a task. Kicks what was submitted. Something is under way.
 */
MUST_CHECK bool reader_wait(struct reader *reader, const uint32_t *others_pending, struct error *error);

/* Requests under way: what another reader's reader_wait wants to know. */
const uint32_t *reader_pending(const struct reader *reader);

/* The bytes that were read from files so far. */
uint64_t reader_bytes_read(const struct reader *reader);

#endif
