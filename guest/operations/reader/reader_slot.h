/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot of the reader (reader.h): a buffer for a stretch of the disk, and what it takes to fill it.
 *
 * Planning adds extents one after the other. Zeros are filled in at once; plain data is read to its place; what needs
 * work on it (compressed clusters, data that does not lie at sectors) is a piece: its stream is read to a second
 * buffer, where reads of neighbours are joined, and is then made into data by tasks, on any vCPU. Encrypted data is a
 * piece that is read to its place and decrypted there; where only a part of a unit of its cipher is wanted, the whole
 * one is a stream.
 *
 * Slots end at multiples of their length, which is a multiple of every cluster's: a cluster of the disk lies in one
 * slot, and where all of it is wanted it is decompressed in place. Units of some formats lie anywhere; one that does
 * not fit the slot is decompressed beside it, by each slot that has a part of it. Units too long for that are expanded
 * from front to back, each by a decoder that goes from slot to slot (reader_streams.h).
 */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_SLOT_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/image.h"
#include "guest/image/io.h"
#include "guest/operations/reader/reader_streams.h"
#include "guest/runtime/workers.h"

/* A slot ends early when it has so many: small clusters, all over the file. */
#define SLOT_READS_MAX 256u
#define SLOT_PIECES_MAX 256u
/* Tasks that the pieces are divided into. */
#define SLOT_TASKS_MAX 8u

enum slot_state {
    SLOT_FREE,
    SLOT_PLANNING,
    SLOT_READING,
    SLOT_WORKING, /* tasks are handed out */
    SLOT_READY,   /* filled, or failed */
};

struct reader_slot;

struct slot_read {
    struct io_request request;
    struct reader_slot *slot;
    struct file *file;
    uint64_t off; /* bytes in the file, a multiple of 512 */
    uint64_t len;
    uint8_t *data;  /* of streams: known when planning has ended */
    bool is_stream; /* to the second buffer */
    bool has_failed;
};

struct slot_piece {
    struct extent extent; /* a part of a cluster, a whole one, plain or encrypted data */
    const struct image *image;
    uint32_t read;        /* index of the read that brings the stream */
    uint32_t leader;      /* index of the piece that this one is decompressed with, often its own */
    uint32_t last;        /* of a leader: index of the last piece that is decompressed with it */
    uint32_t counted_len; /* of a leader, once it is made: bytes of its stream; 0: nobody has counted */
    bool is_unreadable;
    bool is_in_place;         /* encrypted: the read brings it to where it belongs */
    bool is_long;             /* a decoder makes it; the four above mean nothing */
    struct reader_slot *slot; /* long: whose it is */
    struct slot_piece *next;  /* long: that the same decoder makes */
};

struct slot_task {
    struct worker_task task;
    struct reader_slot *slot;
    uint32_t first; /* index of pieces */
    uint32_t end;
};

/* What the slots of a reader have in common. */
struct slot_environment {
    struct io *io;
    uint64_t slot_len;          /* a power of two, a multiple of all clusters */
    uint64_t unit_len_max;      /* of what is compressed: each vCPU's scratch has room for one */
    uint64_t streams_len;       /* of the second buffer */
    uint8_t **scratch;          /* for each vCPU: scratch_len bytes for the codec, then room for a cluster */
    uint32_t *scratch_is_taken; /* atomic; where there are fewer than vCPUs, these take them in turn */
    uint32_t scratch_count;
    uint32_t vcpu_count;
    uint64_t scratch_len;
    uint64_t disk_end; /* voff */
    uint32_t device;   /* for warnings */
    bool salvage;
    uint32_t reads_pending; /* requests under way, of all slots */
    uint32_t tasks_pending;
    uint64_t bytes_read;
    struct reader_streams streams;
};

struct reader_slot {
    struct slot_environment *environment;
    struct reader_slot *next_free;
    enum slot_state state;
    uint8_t *buffer;    /* of slot_len bytes; what is at voff lies at voff % slot_len */
    uint8_t *streams;   /* the second buffer */
    uint64_t voff;      /* the stretch */
    uint64_t len;       /* so far */
    uint64_t limit_end; /* the first voff behind it that is another slot's */
    uint64_t streams_used;
    uint32_t read_count;
    uint32_t piece_count;
    uint32_t task_count;
    uint32_t reads_pending;
    uint32_t long_pending; /* pieces that decoders have not made yet */
    uint32_t users;        /* who works with the data */
    bool has_failed;
    struct error error; /* the reason, of the first that failed */
    struct slot_read reads[SLOT_READS_MAX];
    struct slot_piece pieces[SLOT_PIECES_MAX];
    struct slot_task tasks[SLOT_TASKS_MAX];
};

/* Begins to plan a stretch from `voff` on. */
void slot_open(struct reader_slot *slot, uint64_t voff);

/* Where the slot's buffer has what is at `voff` of the disk. */
uint8_t *slot_at(const struct reader_slot *slot, uint64_t voff);

/*
 * Adds the start of an extent that follows what was added so far: *ret_len bytes, 0 when the slot is full. Slots are
 * never full within a sector. A part of a long unit needs a decoder: reader_streams_choose was there before.
 */
MUST_CHECK bool slot_add(struct reader_slot *slot, const struct chain_extent *found, uint64_t *ret_len,
                         struct error *error);

/* Planning has ended: submits the reads. The caller kicks. */
void slot_submit(struct reader_slot *slot);

/*
 * Of a slot that is ready: the stream that has made the whole unit of `unit_len` bytes at `voff`, where it is one, and
 * of this kind. It stays as long as the slot has users.
 */
bool slot_find_stream(const struct reader_slot *slot, uint64_t voff, uint32_t unit_len, enum stream_kind kind,
                      struct span *ret_stream);

/* Moves a slot on whose reads or tasks are done. */
void slot_advance(struct reader_slot *slot);

#endif
