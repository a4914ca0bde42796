/* SPDX-License-Identifier: Apache-2.0 */
/* The transport pipe: regions of a disk, and commands in its last sector (abi/transports/sector_disk.h). */
#ifndef INSTAR_HOST_DEVICES_SECTOR_PIPE_DEVICE_H
#define INSTAR_HOST_DEVICES_SECTOR_PIPE_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations sector_pipe_device;

#endif
