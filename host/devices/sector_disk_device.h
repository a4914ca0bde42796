/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-blk disk whose content is memory of this process, and that reacts to writes: what the transports pipe and
 * ring are made of (abi/transports/sector_disk.h). The guest reaches the memory by requests only, which are executed
 * one after the other: what it has written cannot change while it is looked at.
 */
#ifndef INSTAR_HOST_DEVICES_SECTOR_DISK_DEVICE_H
#define INSTAR_HOST_DEVICES_SECTOR_DISK_DEVICE_H

#include "host/devices/transport_device.h"
#include "host/devices/virtio_blk_device.h"

struct sector_disk;

/*
 * The guest wrote to its control sector, which has its new content. Before the write is answered. False, with an error
 * that ends the job, when what it says is against the rules.
 */
typedef bool (*sector_disk_handler)(struct sector_disk *disk, struct error *error);

struct sector_disk {
    struct transport_device device; /* first */
    struct backend backend;         /* the disk's content; its length */
    struct virtio_blk blk;
    bool has_blk;
    struct machine *machine;
    struct transport_file *input;
    struct transport_file *output;
    uint8_t *content;
    uint64_t control_off;
    sector_disk_handler handler;
};

struct sector_disk_config {
    const struct transport_device_operations *operations;
    const char *name;
    uint64_t len;         /* bytes of the disk */
    uint64_t control_off; /* of the guest's control sector */
    sector_disk_handler handler;
};

/* Fills in a disk of `struct_len` zero bytes, which begin with a struct sector_disk, and puts it into the machine. */
bool sector_disk_make(const struct transport_device_setup *setup, const struct sector_disk_config *config,
                      size_t struct_len, struct sector_disk **ret_disk, struct error *error);

void sector_disk_release(struct transport_device *device);

#endif
