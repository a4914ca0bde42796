/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register pages of all devices, and the doorbells of late ones (abi/layout.h). So a device that may never come
 * costs nothing, and one that comes needs nothing of the kernel.
 *
 * A doorbell is a group's, and who serves a group looks at all of its devices. Where few devices may be late there is
 * one group, as each is a registration with the kernel; where there may be thousands, a look at all of them for each
 * request would be most of the work.
 */
#ifndef INSTAR_HOST_DEVICES_REGISTER_BANK_H
#define INSTAR_HOST_DEVICES_REGISTER_BANK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "host/devices/virtio_mmio_device.h"
#include "host/vmm/machine.h"

/* Late devices by index: `count` of them may come, from `first` on. */
struct register_bank_late {
    unsigned int first, count;
};

struct register_bank {
    struct machine *machine;
    struct register_bank_late late;
    unsigned int group_count;                 /* 0: no device is late */
    unsigned int group_len;                   /* devices of each but the last */
    int late_kick_fds[LAYOUT_LATE_GROUP_MAX]; /* eventfds, signalled by a kick of any device of the group */
    _Atomic(struct virtio_mmio *) transports[LAYOUT_DEVICE_MAX]; /* NULL where there is no device (yet) */
};

/*
 * Puts the bank on the machine's bus. Late devices are those that may be added while the machine runs. The bank is all
 * zeros before: it has room for thousands, and each page that is touched first costs as much as a dozen system calls.
 */
bool register_bank_init(struct register_bank *bank, struct machine *machine, struct register_bank_late late,
                        bool use_ioeventfd, struct error *error);
/* The group of a late device. */
unsigned int register_bank_group(const struct register_bank *bank, unsigned int index);
/* The first device of a group; of the group behind the last one, the device behind all. */
unsigned int register_bank_group_start(const struct register_bank *bank, unsigned int group);
/* Any thread, also while the machine runs. */
void register_bank_add(struct register_bank *bank, unsigned int index, struct virtio_mmio *transport);
void register_bank_release(struct register_bank *bank);

#endif
