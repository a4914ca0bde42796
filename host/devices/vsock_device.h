/* SPDX-License-Identifier: Apache-2.0 */
/* The transport vsock (abi/transports/vsock.h): a virtio-vsock device, its Unix sockets, and who uses them. */
#ifndef INSTAR_HOST_DEVICES_VSOCK_DEVICE_H
#define INSTAR_HOST_DEVICES_VSOCK_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations vsock_device;

#endif
