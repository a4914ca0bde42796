/* SPDX-License-Identifier: Apache-2.0 */
/* The direct transport: input and output as memory of the guest's (abi/transports/direct.h). */
#ifndef INSTAR_HOST_DEVICES_DIRECT_WINDOW_H
#define INSTAR_HOST_DEVICES_DIRECT_WINDOW_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations direct_device;

#endif
