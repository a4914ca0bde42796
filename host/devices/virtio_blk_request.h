/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a chain of descriptors to a typed request (VIRTIO 1.2, section 5.2.6): parsing only, nothing is
 * executed.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_BLK_REQUEST_H
#define INSTAR_HOST_DEVICES_VIRTIO_BLK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/virtio_blk.h"
#include "host/devices/virtqueue_device.h"

/* Bounds of a request, which the device's configuration tells the driver. */
#define VIRTIO_BLK_SEGMENT_LEN_MAX (1024u * 1024u)
#define VIRTIO_BLK_SEGMENT_MAX (VIRTQUEUE_SIZE_MAX - 2u) /* header and status take two descriptors */
#define VIRTIO_BLK_DATA_LEN_MAX (16u * 1024u * 1024u)

/*
 * A request as it arrived. Its vectors are those of the chain, cut so that header and status are not in them;
 * they point into guest memory, whose content is not to be trusted to stay.
 */
struct virtio_blk_request {
    uint16_t head;
    uint32_t type;
    uint32_t argument; /* unchecked */
    uint64_t sector;   /* 512-byte sectors, unchecked */
    const struct iovec *data;
    unsigned int data_count;
    uint64_t data_len;     /* bytes */
    bool data_is_writable; /* by the device */
    uint8_t *status;
    uint64_t room_len; /* taken for what it stores (write_room.h); the device's */
};

/*
 * Parses a chain of any framing (2.7.4): header and status may share descriptors with data or be split over
 * several. `chain` is cut in place and must outlive the request. Fails when there is no whole header or no
 * status byte, so that not even an error could be answered, or when there is data in both directions.
 */
bool virtio_blk_request_parse(struct virtq_chain *chain, struct virtio_blk_request *ret_request, struct error *error);

/* Whether `request` reads or writes [sector, sector + data) within the bounds above and `capacity` sectors. */
bool virtio_blk_request_is_within(const struct virtio_blk_request *request, uint64_t capacity);

/*
 * Copies the data of a request that is a command's argument, such as the one range of DISCARD; read once. False when
 * the data is not for the device to read, or not `len` bytes exactly.
 */
bool virtio_blk_request_data(const struct virtio_blk_request *request, void *ret_data, size_t len);

/* Copies up to `len` bytes to a request's data; returns how many fitted. */
size_t virtio_blk_request_fill(const struct virtio_blk_request *request, size_t off, const void *bytes, size_t len);

#endif
