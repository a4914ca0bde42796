/* SPDX-License-Identifier: Apache-2.0 */
/* Large transfers of a virtio-blk disk, split into requests of which several are under way; for transports on disks. */
#ifndef INSTAR_GUEST_TRANSPORTS_DISK_REQUESTS_H
#define INSTAR_GUEST_TRANSPORTS_DISK_REQUESTS_H

#include "guest/drivers/virtio_blk_driver.h"
#include "guest/transports/transport.h"

struct disk_requests {
    uint64_t request_len; /* bytes of one at most, a multiple of 512 */
    uint32_t count;
    struct virtio_blk_request *requests;
    struct virtio_blk_request **unused;
};

/* A range of a disk, and where its bytes are in the guest: as in transport.h. */
struct disk_range {
    uint64_t off;
    void *data;
    uint64_t len;
};

/* Brings device `index` of the machine up. */
bool disk_open(struct virtio_blk *blk, uint32_t index, const char *name, const struct transport_setup *setup,
               struct error *error);

/* As many requests as setup->depth, of a length that the disk takes. */
bool disk_requests_make(struct disk_requests *requests, const struct virtio_blk *blk,
                        const struct transport_setup *setup, struct error *error);

/* Moves all of the ranges, and waits. Nothing else is in flight on the disk. */
bool disk_requests_read(struct disk_requests *requests, struct virtio_blk *blk, const struct disk_range *ranges,
                        uint32_t count, struct error *error);
bool disk_requests_write(struct disk_requests *requests, struct virtio_blk *blk, const struct disk_range *ranges,
                         uint32_t count, struct error *error);

/* What was written is on stable storage. Nothing is in flight. */
bool disk_requests_flush(struct disk_requests *requests, struct virtio_blk *blk, struct error *error);

#endif
