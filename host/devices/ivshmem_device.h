/* SPDX-License-Identifier: Apache-2.0 */
/* Memory between two machines, and a doorbell in each for the other one (abi/transports/ivshmem.h). */
#ifndef INSTAR_HOST_DEVICES_IVSHMEM_DEVICE_H
#define INSTAR_HOST_DEVICES_IVSHMEM_DEVICE_H

#include "host/devices/transport_device.h"

extern const struct transport_device_operations ivshmem_device;

#endif
