/* SPDX-License-Identifier: Apache-2.0 */
/* The transport vsock with other programs at the far ends of its connections, instead of the job's files. */
#ifndef INSTAR_HOST_DEVICES_VSOCK_SOCKET_H
#define INSTAR_HOST_DEVICES_VSOCK_SOCKET_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations vsock_socket_device;

#endif
