/* SPDX-License-Identifier: Apache-2.0 */
/* The transport virtiofs: a directory that a daemon shares, such as virtiofsd. */
#ifndef INSTAR_HOST_DEVICES_VIRTIOFS_DEVICE_H
#define INSTAR_HOST_DEVICES_VIRTIOFS_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations virtiofs_device;

#endif
