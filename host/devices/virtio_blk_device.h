/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk, the device's side (VIRTIO 1.2, section 5.2), on any backend.
 *
 * The device's I/O thread drains the queues in batches. A request is parsed (virtio_blk_request.h), checked
 * and turned into an operation of the backend (virtio_blk_operation.c); adjacent reads, and adjacent writes,
 * of one batch become one operation.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_BLK_DEVICE_H
#define INSTAR_HOST_DEVICES_VIRTIO_BLK_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/layout.h"
#include "host/backends/backend.h"
#include "host/backends/backend_copy.h"
#include "host/devices/io_thread.h"
#include "host/devices/virtio_blk_request.h"
#include "host/devices/virtio_mmio_device.h"
#include "host/devices/write_room.h"

/* Requests by type, as the guest made them, and what became of them. */
struct virtio_blk_statistics {
    uint64_t reads;
    uint64_t writes;
    uint64_t flushes;
    uint64_t discards;
    uint64_t write_zeroes;
    uint64_t get_ids;
    uint64_t extents;
    uint64_t set_lens;
    uint64_t copies;
    uint64_t failures; /* answered with IOERR or UNSUPP */
    uint64_t bytes_read;
    uint64_t bytes_written;
    uint64_t bytes_copied; /* written by COPY */
    uint64_t bytes_shared; /* by COPY, without being moved */
    uint64_t bytes_zero;   /* found by COPY, and not stored */
    uint64_t operations;   /* reached the backend */
    uint64_t merges;       /* requests that joined the operation before them */
    uint64_t batches;      /* times the ring was found to hold requests */
    uint64_t kicks;        /* kicks that arrived */
};

/* The first thing that could not be done to a file. */
struct virtio_blk_failure {
    int errno_value;     /* 0: none failed */
    unsigned int device; /* index of the one whose file it is: another one's when COPY could not read */
    char what[64];       /* "read at offset 4096" */
    bool has_no_room;    /* it was not tried: its file system must not become fuller (write_room_refuse) */
};

/* The files of a machine's devices, in its order, for COPY to find its source; NULL where there is none (yet). */
struct virtio_blk_peers {
    _Atomic(const struct backend *) backends[LAYOUT_DEVICE_MAX];
};

/* Operations in flight; only an asynchronous backend has more than one. */
#define VIRTIO_BLK_OPERATION_MAX 64u
/* Of a late device, whose backend finishes them at once: one that is open, and its successor. */
#define VIRTIO_BLK_LATE_OPERATION_COUNT 2u
/* Merging stops here: beyond, a longer operation saves nothing and delays the first request in it. */
#define VIRTIO_BLK_MERGE_LEN_MAX (1024u * 1024u)
#define VIRTIO_BLK_MERGE_REQUEST_MAX VIRTQUEUE_SIZE_MAX

/* What is owed to the guest for a request that is part of an operation. */
struct virtio_blk_debt {
    uint16_t head;
    uint32_t written_len; /* on success; 1, the status, on failure */
    uint8_t *status;
};

struct virtio_blk_operation {
    struct backend_operation backend; /* owner is the operation itself */
    unsigned int queue;
    uint64_t room_len; /* taken for what it stores */
    unsigned int debt_count;
    struct virtio_blk_debt debts[VIRTIO_BLK_MERGE_REQUEST_MAX];
    struct iovec iov[BACKEND_IOV_MAX];
    struct virtio_blk_operation *next_free;
};

struct virtio_blk {
    struct virtio_mmio transport; /* first; its lock covers all that follows */
    unsigned int index;           /* in the machine */
    struct virtio_blk_peers *peers;
    struct backend_copy_helper *copy_helper;
    struct backend *backend; /* NULL until there is a medium */
    bool is_resizable;
    bool is_copy_target;
    bool finds_zeros;
    uint64_t unwritten_off;    /* from here on nothing was written and all reads as zeros; UINT64_MAX: nowhere */
    uint32_t sector_len;       /* bytes, blk_size */
    uint64_t capacity_sectors; /* 512-byte sectors */
    char id[VIRTIO_BLK_ID_LEN];
    struct io_thread *thread;
    unsigned int in_flight_count;
    struct virtio_blk_operation *operations;
    unsigned int operation_count; /* that were ever taken: the others are untouched memory */
    unsigned int operation_free_count;
    struct virtio_blk_operation *free_operations;
    struct virtq_chain chain; /* the one being parsed */
    struct virtio_blk_statistics statistics;
    struct virtio_blk_failure failure;
    struct write_room room; /* for what requests store */
    bool zeros_are_written; /* the file cannot have holes: zeros are stored, whatever the guest wants */
};

struct virtio_blk_setup {
    unsigned int index; /* of the device in the machine */
    unsigned int queue_count;
    bool use_ioeventfd;
    struct io_thread *thread; /* serves the queues; the caller's, not started yet */
    struct register_bank *bank;
    /*
     * The machine runs already: the device has one queue and a backend without asynchronous operations, and the caller
     * watches the bank's doorbell (virtio_blk_serve).
     */
    bool is_late;
    /* The caller's, as long as the device lives, one for all devices; NULL: none can be a target of COPY. */
    struct virtio_blk_peers *peers;
    struct backend_copy_helper *copy_helper; /* likewise; NULL: none */
};

/* What a device is a disk of. */
struct virtio_blk_medium {
    const char *name;        /* for messages; also GET_ID's answer */
    struct backend *backend; /* the caller's, as long as the device lives */
    uint32_t sector_len;     /* bytes, a power of two from 512 */
    bool zeroed;             /* what is not written reads as zeros */
    bool is_resizable;       /* SET_LEN works; a writable regular file */
    bool is_copy_target;     /* COPY works; writable */
    bool finds_zeros;        /* FIND_ZEROS works */
    uint64_t allocated_len;  /* bytes of storage that the file takes now; UINT64_MAX: unknown */
    struct write_room room;  /* for what the guest writes; all zero: no limit */
    bool zeros_are_written;  /* the file cannot have holes; asked anew when old content goes (backend_config) */
};

/* Sectors that hold `len` bytes; the last one may be partial. */
static inline uint64_t virtio_blk_sectors(uint64_t len)
{
    return len / VIRTIO_BLK_SECTOR_LEN + (len % VIRTIO_BLK_SECTOR_LEN != 0);
}

/* Prepares a device without a medium: the guest sees an empty register page. */
bool virtio_blk_init(struct virtio_blk *blk, struct machine *machine, const struct virtio_blk_setup *setup,
                     struct error *error);
/* Gives the device its medium, once: now the guest sees it. */
bool virtio_blk_attach(struct virtio_blk *blk, const struct virtio_blk_medium *medium, struct error *error);
/* Takes what waits in the queues of a late device; on its thread. */
void virtio_blk_serve(struct virtio_blk *blk);
/* After the thread was stopped: waits for what is in flight. */
void virtio_blk_settle(struct virtio_blk *blk);
void virtio_blk_release(struct virtio_blk *blk);

#endif
