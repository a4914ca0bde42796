/* SPDX-License-Identifier: Apache-2.0 */
/* The transport ring: two rings of slots on a disk (abi/transports/sector_disk.h). */
#ifndef INSTAR_HOST_DEVICES_SECTOR_RING_DEVICE_H
#define INSTAR_HOST_DEVICES_SECTOR_RING_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations sector_ring_device;

#endif
