/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vhost_user_blk.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "abi/virtio_blk.h"
#include "abi/virtio_mmio.h"
#include "host/devices/vhost_user_device.h"

/* What the guest's driver uses of a disk with one queue. Nothing private: that would be the daemon's to say. */
#define DISK_FEATURES                                                                                              \
    (VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | \
     VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES)
/* As far as these features reach: daemons know configurations of different lengths. */
#define DISK_CONFIG_LEN offsetof(struct virtio_blk_config, max_secure_erase_sectors)

enum { DISK_INPUT, DISK_OUTPUT, DISK_COUNT };

struct vhost_user_blk {
    struct transport_device device; /* first */
    struct vhost_user_device disks[DISK_COUNT];
};

static const struct virtio_device_operations disk_operations = {
    .device_id = VIRTIO_DEVICE_ID_BLOCK,
    .activate = vhost_user_device_activate,
    .settle = vhost_user_device_settle,
};

/* qemu-storage-daemon's disks have segments of 0 bytes at most, and mean that any length will do. */
static uint64_t void_features(const void *config)
{
    uint32_t size_max;
    memcpy(&size_max, (const uint8_t *)config + offsetof(struct virtio_blk_config, size_max), sizeof(size_max));
    return size_max == 0 ? VIRTIO_BLK_F_SIZE_MAX : 0;
}

static void vhost_user_blk_release(struct transport_device *device)
{
    struct vhost_user_blk *blk = (struct vhost_user_blk *)device;
    for (unsigned int i = 0; i < DISK_COUNT; i++) {
        vhost_user_device_release(&blk->disks[i]);
    }
    free(blk);
}

static bool vhost_user_blk_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                                struct error *error)
{
    struct vhost_user_blk *blk = calloc(1, sizeof(*blk));
    if (blk == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    blk->device.operations = &vhost_user_blk_device;
    blk->disks[DISK_INPUT].call_fd = -1;
    blk->disks[DISK_OUTPUT].call_fd = -1;
    for (unsigned int i = 0; i < DISK_COUNT; i++) {
        struct vhost_user_device_config config = {
            .operations = &disk_operations,
            .name = i == DISK_INPUT ? "input" : "output",
            .index = i,
            .queue_count = 1,
            .socket = setup->sockets[i == DISK_INPUT ? TRANSPORT_SOCKET_INPUT : TRANSPORT_SOCKET_OUTPUT],
            .features = DISK_FEATURES,
            .config_len = DISK_CONFIG_LEN,
            .void_features = void_features,
        };
        if (!vhost_user_device_make(&blk->disks[i], setup, &config, error)) {
            vhost_user_blk_release(&blk->device);
            return false;
        }
    }
    *ret_device = &blk->device;
    return true;
}

const struct transport_device_operations vhost_user_blk_device = {
    .daemon_count = DISK_COUNT,
    .lends_memory = true,
    .make = vhost_user_blk_make,
    .release = vhost_user_blk_release,
};
