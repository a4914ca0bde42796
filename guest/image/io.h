/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload in bulk: many requests under way at once, on any file of the job, and one place to wait for all of them.
 *
 * For vCPU 0 only. A request belongs to io from its submission until its `done` is called, from io_poll or
 * io_wait, in the order in which the devices finish.
 */
#ifndef INSTAR_GUEST_IMAGE_IO_H
#define INSTAR_GUEST_IMAGE_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/file.h"
#include "guest/runtime/arena.h"

struct io;

struct io_request {
    /* Set by the caller. `error` is NULL on success. */
    void (*done)(struct io_request *request, const struct error *error);
    void *owner;
    /* The rest is io's. */
    struct io_request *next;
    uint32_t type; /* VIRTIO_BLK_T_* */
    struct file *file;
    uint64_t off;
    uint8_t *data;
    uint64_t len;
    uint64_t done_len;   /* long requests are carried out piece by piece */
    struct file *source; /* of a copy */
    uint64_t source_off;
    uint32_t zero_len;
    uint32_t unit_bits; /* of find_zeros */
    bool may_unmap;     /* of write_zeroes */
    bool has_failed;    /* while `done` was not called yet */
};

/* NULL when the arena is too small. `request_count` may be under way at once; more wait in line. */
MUST_CHECK struct io *io_make(struct arena *arena, uint32_t request_count);

/*
 * Submitting. `data` is arena memory. Reads need no alignment; what lies behind the file's end reads as zeros. Writes
 * begin at a multiple of 512, and end at one or at the file's end.
 */
void io_read(struct io *io, struct io_request *request, struct file *file, uint64_t off, void *data, uint64_t len);
void io_write(struct io *io, struct io_request *request, struct file *file, uint64_t off, const void *data,
              uint64_t len);
/* may_unmap: the range's storage may go; otherwise it is kept, or reserved. Lengths as those of writes, of any size. */
void io_write_zeroes(struct io *io, struct io_request *request, struct file *file, uint64_t off, uint64_t len,
                     bool may_unmap);
/* Without the guest's memory (VIRTIO_BLK_T_INSTAR_COPY). zero_len: as in struct virtio_blk_copy; 0: no detection. */
void io_copy(struct io *io, struct io_request *request, struct file *source, uint64_t source_off, struct file *target,
             uint64_t target_off, uint64_t len, uint32_t zero_len);
/*
 * Only where the file's finds_zeros is set: which of `unit_count` units of 2^unit_bits bytes from `off`, a multiple of
 * 512, on are all zeros; abi/virtio_blk.h has the bounds. `bitmap` is arena memory.
 */
void io_find_zeros(struct io *io, struct io_request *request, struct file *file, uint64_t off, uint32_t unit_bits,
                   uint32_t unit_count, uint8_t *bitmap);
/* Only where the device says RESIZABLE; then file->len is the new length. Of the file, only reads may be under way. */
void io_set_len(struct io *io, struct io_request *request, struct file *file, uint64_t len);
void io_flush(struct io *io, struct io_request *request, struct file *file);

/* Kicks what was submitted, and calls `done` of what has finished, without waiting. */
MUST_CHECK bool io_poll(struct io *io, struct error *error);
/* The same, and waits until at least one has finished; something is under way. */
MUST_CHECK bool io_wait(struct io *io, struct error *error);

#endif
