/* SPDX-License-Identifier: Apache-2.0 */
/* A device with registers, a data and a result buffer (abi/transports/custom_mmio.h). */
#ifndef INSTAR_HOST_DEVICES_CUSTOM_MMIO_DEVICE_H
#define INSTAR_HOST_DEVICES_CUSTOM_MMIO_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations custom_mmio_device;

#endif
