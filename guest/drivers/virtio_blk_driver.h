/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio block device (VIRTIO 1.2, section 5.2) with instar's private requests.
 *
 * Requests are asynchronous: submit some, kick once, reap what is done, wait when nothing is. A request is
 * the caller's own, lies in arena memory, as the device reads and writes it, and belongs to the driver
 * between its submission and its reaping.
 */
#ifndef INSTAR_GUEST_DRIVERS_VIRTIO_BLK_DRIVER_H
#define INSTAR_GUEST_DRIVERS_VIRTIO_BLK_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_blk.h"
#include "base/error.h"
#include "guest/drivers/virtio_mmio_driver.h"
#include "guest/drivers/virtqueue_driver.h"
#include "guest/runtime/arena.h"

#define VIRTIO_BLK_QUEUES_MAX 16u

/* Data of one request: bounds the time it takes, and what a device must be able to hold. */
#define VIRTIO_BLK_DATA_LEN_MAX (16ull << 20)

/* Segments of one request, for the size of the tables; the device's seg_max may be lower. */
#define VIRTIO_BLK_SEGMENTS_MAX 32u

struct virtio_blk {
    struct virtio_mmio mmio;
    uint64_t file_len;      /* bytes, exact; the capacity when the device does not know better */
    uint64_t allocated_len; /* bytes of storage that the file took at the start; UINT64_MAX: unknown */
    uint64_t capacity_len;  /* bytes, a multiple of 512 */
    uint32_t block_len;     /* bytes, the device's sector size; a power of two */
    uint32_t segment_len;   /* bytes in a segment at most */
    uint32_t segment_count; /* segments in a request at most */
    uint64_t transfer_len;  /* bytes that one request can move from or to contiguous memory, a multiple of 512 */
    uint64_t discard_len;   /* bytes that one discard can cover; 0 when the device cannot discard */
    uint64_t zeroing_len;   /* bytes that one write_zeroes can cover; 0 when the device has no such request */
    bool is_zeroed;         /* what was not written reads as zero */
    bool is_resizable;      /* virtio_blk_set_len works */
    bool is_copy_target;    /* virtio_blk_copy works */
    bool finds_zeros;       /* virtio_blk_find_zeros works */
    bool is_read_only;
    uint64_t poll_ticks; /* how long virtio_blk_wait_any polls before it sleeps */
    uint16_t queue_count;
    struct virtqueue queues[VIRTIO_BLK_QUEUES_MAX];
};

struct virtio_blk_setup {
    const char *name; /* for errors; outlives the device */
    uint64_t registers_gpa;
    uint32_t tsc_khz;     /* 0 when unknown */
    uint16_t queue_count; /* wanted; blk->queue_count says how many there are */
    /* Less than what the device and the driver can do, to save memory; 0: no less. */
    uint16_t queue_size;    /* requests in a queue, a power of two */
    uint32_t segment_count; /* in a request */
    struct arena *rings;
    struct arena *arena;
};

/* Brings the device up. */
bool virtio_blk_open(struct virtio_blk *blk, const struct virtio_blk_setup *setup, struct error *error);

struct virtio_blk_request {
    /* The device reads the first two and writes the third. */
    struct virtio_blk_request_header header;
    union {
        struct virtio_blk_range range; /* data of discard and write_zeroes */
        struct virtio_blk_set_len set_len;
        struct virtio_blk_copy copy;
    };
    uint8_t status; /* VIRTIO_BLK_S_* */

    bool is_done;         /* reaped */
    uint32_t written_len; /* bytes that the device wrote, the status included */
    uint64_t data_len;    /* bytes of the device that the request is about */
    void *owner;          /* the caller's, untouched */
} __attribute__((aligned(64)));

/* A piece of memory in the arena. */
struct virtio_blk_segment {
    void *data;
    uint64_t len; /* bytes */
};

/* How many requests can be submitted to a queue now. */
uint16_t virtio_blk_room(const struct virtio_blk *blk, uint16_t queue_index);

/*
 * Submitting. There must be room in the queue. `off` and `len` are bytes of the device, multiples of 512, and
 * end within capacity_len. The data is `len` bytes of arena memory, transfer_len at most;
 * of a list, every segment is split to segment_len, and after that segment_count are allowed.
 */
void virtio_blk_read(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                     void *data, uint64_t len);
void virtio_blk_write(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                      const void *data, uint64_t len);
void virtio_blk_read_segments(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                              uint64_t off, const struct virtio_blk_segment *segments, uint32_t count);
void virtio_blk_write_segments(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                               uint64_t off, const struct virtio_blk_segment *segments, uint32_t count);
/* To stable storage, everything that was written before; only with VIRTIO_BLK_F_FLUSH. */
void virtio_blk_flush(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request);
/* `len` bytes, discard_len at most, no longer matter. */
void virtio_blk_discard(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                        uint64_t len);
/* `len` bytes, zeroing_len at most, read as zero afterwards; with may_unmap the device may free their storage. */
void virtio_blk_write_zeroes(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                             uint64_t off, uint64_t len, bool may_unmap);
/* `id` holds VIRTIO_BLK_ID_LEN bytes; a shorter name ends with zeros. */
void virtio_blk_get_id(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, char *id);
/* Data and holes from `off` on, into `answer` (abi/virtio_blk.h); only with VIRTIO_BLK_F_INSTAR. */
void virtio_blk_extents(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                        void *answer, uint32_t answer_len);

/*
 * Which of `unit_count` units of 2^unit_bits bytes from `off` on are zeros, into `bitmap`, a bit each; only with
 * finds_zeros. abi/virtio_blk.h has the conditions.
 */
void virtio_blk_find_zeros(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                           uint64_t off, uint32_t unit_bits, uint32_t unit_count, uint8_t *bitmap);

/*
 * Copies from the disk with the number copy->source_device in the machine, without the guest's memory; only with
 * is_copy_target. abi/virtio_blk.h has the conditions.
 */
void virtio_blk_copy(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                     const struct virtio_blk_copy *copy);

/* Shows the device what was submitted to a queue. */
void virtio_blk_kick(struct virtio_blk *blk, uint16_t queue_index);

/* Sets *ret_request to one that the device is done with, or to NULL when there is none. */
bool virtio_blk_reap(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request **ret_request,
                     struct error *error);

/* Fails, with the words of a user's error, when a reaped request did. */
bool virtio_blk_check(const struct virtio_blk *blk, const struct virtio_blk_request *request, struct error *error);

/* Returns when a request of any of the devices can be reaped. Something must be in flight. */
bool virtio_blk_wait_any(struct virtio_blk *const *blks, uint32_t count, struct error *error);

/* Kicks, waits for one request and checks it. Nothing else may be in flight in that queue. */
bool virtio_blk_execute(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                        struct error *error);

/* Reads file_len and capacity_len again. For virtio_blk_set_len. */
bool virtio_blk_lengths_refresh(struct virtio_blk *blk, struct error *error);

/*
 * Adds a request for another length of the device's file, which file_len and capacity_len become by
 * virtio_blk_lengths_refresh when it is done. Only with is_resizable; nothing may be in flight on another vCPU that
 * looks at the lengths.
 */
void virtio_blk_set_len(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t len);

#endif
