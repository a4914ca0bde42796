/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of a virtio-blk device: what requests become on their way to the backend. Under the device's lock. */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_BLK_OPERATION_H
#define INSTAR_HOST_DEVICES_VIRTIO_BLK_OPERATION_H

#include "host/devices/virtio_blk_device.h"

/*
 * Makes a checked read or write request part of an operation: of *open when it continues it, else of a new
 * one, after *open was started. *open is NULL when there is none.
 */
void virtio_blk_operation_transfer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request,
                                   struct virtio_blk_operation **open);

/* Starts an operation without data: FLUSH, DISCARD, WRITE_ZEROES on `len` bytes at `off`. */
void virtio_blk_operation_command(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request,
                                  enum backend_operation_kind kind, bool may_unmap, uint64_t off, uint64_t len);

/* Starts *open, when there is one, and sets it to NULL. */
void virtio_blk_operation_start(struct virtio_blk *blk, struct virtio_blk_operation **open);

/* Collects what an asynchronous backend has finished; with `wait`, until nothing is in flight. */
void virtio_blk_operations_reap(struct virtio_blk *blk, bool wait);

/* Notes that [off, off + len) was written, or may have been. */
void virtio_blk_written_note(struct virtio_blk *blk, uint64_t off, uint64_t len);

/* Notes what could not be done to the file of `device`, for the job's error, unless something was before. */
void virtio_blk_failure_note(struct virtio_blk *blk, unsigned int device, int errno_value, const char *what,
                             uint64_t number);
/* The same for what was not done, as there is no room for it. */
void virtio_blk_no_room_note(struct virtio_blk *blk);

/*
 * Takes room for what a request stores (write_room_take). False when that may not be: then the request is not to be
 * executed. Where the job's limit is passed, this is the machine's end; of a lack of room the guest learns as of a disk
 * that is full, and leaves what it changes as sound as then.
 */
bool virtio_blk_room_take(struct virtio_blk *blk, uint64_t off, uint64_t len, uint64_t *ret_room_len);

/* Answers a request without an operation. */
void virtio_blk_request_answer(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request,
                               uint8_t status, uint32_t written_len);

#endif
