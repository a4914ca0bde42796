/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport console (abi/transports/console.h): a virtio-console device with a port for input and one for output
 * (VIRTIO 1.2, section 5.3).
 */
#ifndef INSTAR_HOST_DEVICES_CONSOLE_PORTS_DEVICE_H
#define INSTAR_HOST_DEVICES_CONSOLE_PORTS_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations console_ports_device;

#endif
