/* SPDX-License-Identifier: Apache-2.0 */
/* The transport vhost-user-blk: two virtio-blk disks that daemons serve, such as qemu-storage-daemon. */
#ifndef INSTAR_HOST_DEVICES_VHOST_USER_BLK_H
#define INSTAR_HOST_DEVICES_VHOST_USER_BLK_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations vhost_user_blk_device;

#endif
