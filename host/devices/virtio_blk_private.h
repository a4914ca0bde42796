/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests of the private feature (abi/virtio_blk.h): EXTENTS, SET_LEN and COPY. They are done before the function
 * returns, by the backend's files and not by its operations. Under the device's lock.
 */
#ifndef INSTAR_HOST_DEVICES_VIRTIO_BLK_PRIVATE_H
#define INSTAR_HOST_DEVICES_VIRTIO_BLK_PRIVATE_H

#include "host/devices/virtio_blk_device.h"

/*
 * Executes and answers the request. False, and nothing was done, when it is of no such type, or the driver did not
 * agree to the feature.
 */
bool virtio_blk_private_execute(struct virtio_blk *blk, unsigned int queue, const struct virtio_blk_request *request);

#endif
