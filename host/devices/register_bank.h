/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register pages of all devices, and the doorbell of late ones (abi/layout.h). So a device that may never come
 * costs nothing, and one that comes needs nothing of the kernel.
 */
#ifndef INSTAR_HOST_DEVICES_REGISTER_BANK_H
#define INSTAR_HOST_DEVICES_REGISTER_BANK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "host/devices/virtio_mmio.h"
#include "host/vmm/machine.h"

struct register_bank {
    struct machine *machine;
    int late_kick_fd; /* an eventfd, signalled by a kick of any late device; -1: there are none */
    _Atomic(struct virtio_mmio *) transports[LAYOUT_DEVICE_MAX]; /* NULL where there is no device (yet) */
};

/* Puts the bank on the machine's bus. `has_late`: devices may be added while the machine runs. */
bool register_bank_init(struct register_bank *bank, struct machine *machine, bool has_late, bool use_ioeventfd,
                        struct error *error);
/* Any thread, also while the machine runs. */
void register_bank_add(struct register_bank *bank, unsigned int index, struct virtio_mmio *transport);
void register_bank_release(struct register_bank *bank);

#endif
