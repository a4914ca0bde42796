/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new image of a format that stores the disk in blocks of one length, appended to the file as the disk arrives front
 * to back, and tells of them in a table of addresses (table_writer.h). What is the same in all such formats is here:
 * zeros are left out, a block gets its place with its first byte, blocks that follow each other in the file are written
 * at once, the file grows and ends, and the header comes last, so that nothing partial looks like an image.
 *
 * A format's own struct begins with a block_writer. Its `create` fills in a layout and calls block_writer_make; from
 * then on it is asked where a block goes, and in the end for its tables and its header.
 *
 * With is_flat, every block has its place from the start, one behind the other: all is as in a raw image that begins
 * at data_off, and the format has nothing to place.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_BLOCK_WRITER_H
#define INSTAR_GUEST_IMAGE_WRITE_BLOCK_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/write/cipher_writer.h"
#include "guest/image/write/target.h"

/* What one block_writer_put writes at most, and how many writes and zeroings of the format's are under way at once. */
#define BLOCK_WRITER_PUT_LEN 4096u
#define BLOCK_WRITER_REQUEST_COUNT 8u

struct block_writer;

struct block_writer_format {
    /*
     * A place in the file for block `block` of the disk, in *ret_off: mostly block_writer_append and an entry of the
     * table. Blocks come in ascending order, none twice; those that hold zeros only do not come. The block's bytes that
     * nobody writes read as zeros. NULL with is_flat.
     */
    bool (*place)(struct block_writer *writer, uint64_t block, uint64_t *ret_off, struct error *error);
    /*
     * With a backing file: block `block` reads as zeros, whatever is behind. NULL: the format cannot say so, and zeros
     * are stored.
     */
    bool (*set_zero)(struct block_writer *writer, uint64_t block, struct error *error);
    /*
     * With a backing file, where the format tells of each sector whose it is: the image has `len` bytes of block
     * `block`, the last one that was placed, from `in_block` on. Whole sectors of 512; those of a block ascend. NULL:
     * whoever writes to a block writes all of it. Not together with set_zero.
     */
    bool (*set_own)(struct block_writer *writer, uint64_t block, uint64_t in_block, uint64_t len, struct error *error);
    /* What is left of tables, and what stands behind all blocks. The file ends at next_off afterwards. */
    bool (*end_tables)(struct block_writer *writer, struct error *error);
    /* What makes the file an image. All else has been written before, and with sync is on stable storage. */
    bool (*write_header)(struct block_writer *writer, struct error *error);
};

struct block_writer_layout {
    const struct block_writer_format *format;
    uint64_t block_len; /* bytes, a multiple of 512 */
    uint64_t data_off;  /* bytes, a multiple of 512; before it are header and tables: they read as zeros at first */
    bool is_flat;
    bool has_backing;  /* then block_len is a power of two, and without set_own fits what convert puts together */
    uint64_t flat_len; /* with is_flat: bytes from data_off on to the end of the file */
    /*
     * What is stored is encrypted, counted by where it is on the disk: whole blocks, of a power of two, and behind the
     * disk's end as zeros. NULL: it is not. Not together with is_flat and set_own.
     */
    const struct data_cipher *cipher;
};

struct block_writer_request {
    struct block_writer *writer;
    struct io_request request;
    struct block_writer_request *next_free;
    uint8_t *data; /* BLOCK_WRITER_PUT_LEN bytes */
};

struct block_writer {
    struct target target; /* first */
    struct block_writer_layout layout;
    struct cipher_writer *cipher; /* NULL: not encrypted */
    bool stores_zeros;
    uint64_t next_off;    /* bytes; the first that nobody has */
    bool has_block;       /* a block is under way: */
    uint64_t block;       /* its number, */
    uint64_t block_off;   /* its place in the file, */
    uint64_t written_len; /* and, where the file does not read as zeros, how much of it (of a flat disk) was written */
    struct block_writer_request *free;
    struct block_writer_request requests[BLOCK_WRITER_REQUEST_COUNT];
};

static inline struct block_writer *block_writer_of(struct target *target)
{
    return (struct block_writer *)target;
}

/*
 * Begins the image in `writer`, which is arena memory. What stood in the file before is none from now on. Operations
 * that a format adds (compression) go to a copy of block_writer_operations of its own.
 */
MUST_CHECK bool block_writer_make(struct block_writer *writer, const struct target_setup *setup,
                                  const struct block_writer_layout *layout, struct error *error);

extern const struct target_operations block_writer_operations;

/* target.h's operations, for formats that add to them. */
bool block_writer_finish(struct target *target, bool sync, struct error *error);

/* For the formats. */

/*
 * The next `len` bytes of the file, from a multiple of `alignment` on: *ret_off. The file is long enough for them;
 * what they hold is zeros if `is_zero`, also for who writes there next, or if the file reads as zeros anyway.
 */
MUST_CHECK bool block_writer_append(struct block_writer *writer, uint64_t len, uint64_t alignment, bool is_zero,
                                    uint64_t *ret_off, struct error *error);
/* Writes a copy of `len` bytes; `off` and the file's place behind them are multiples of 512, but for the file's end. */
MUST_CHECK bool block_writer_put(struct block_writer *writer, uint64_t off, const void *data, uint64_t len,
                                 struct error *error);
/* Zeros at `off` of the file. may_unmap: without storage, if that goes. */
MUST_CHECK bool block_writer_put_zeros(struct block_writer *writer, uint64_t off, uint64_t len, bool may_unmap,
                                       struct error *error);
/* The block under way is complete; the next byte of the disk is another one's. */
MUST_CHECK bool block_writer_close(struct block_writer *writer, struct error *error);
/* How many blocks the disk has. */
uint64_t block_writer_count(const struct block_writer *writer);

#endif
