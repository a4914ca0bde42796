/* SPDX-License-Identifier: Apache-2.0 */
/* The transport hypercall: calls by registers (abi/transports/hypercall.h). */
#ifndef INSTAR_HOST_DEVICES_REGISTER_CALLS_H
#define INSTAR_HOST_DEVICES_REGISTER_CALLS_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations register_calls_device;

#endif
