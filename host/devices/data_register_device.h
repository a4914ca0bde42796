/* SPDX-License-Identifier: Apache-2.0 */
/* The transports pio and mmio: input and output through one register (abi/transports/data_register.h). */
#ifndef INSTAR_HOST_DEVICES_DATA_REGISTER_DEVICE_H
#define INSTAR_HOST_DEVICES_DATA_REGISTER_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations pio_device;
extern const struct transport_device_operations mmio_device;

#endif
