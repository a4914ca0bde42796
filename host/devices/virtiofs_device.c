/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtiofs_device.h"

#include <stdlib.h>

#include "abi/virtio_fs.h"
#include "host/devices/vhost_user_device.h"

struct virtiofs {
    struct transport_device device; /* first */
    struct vhost_user_device share;
};

static const struct virtio_device_operations share_operations = {
    .device_id = VIRTIO_DEVICE_ID_FS,
    .activate = vhost_user_device_activate,
    .settle = vhost_user_device_settle,
};

static void virtiofs_release(struct transport_device *device)
{
    struct virtiofs *fs = (struct virtiofs *)device;
    vhost_user_device_release(&fs->share);
    free(fs);
}

/* The configuration is ours: virtiofsd has none to give. */
static bool virtiofs_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                          struct error *error)
{
    static const struct virtio_fs_config content = {.tag = "instar", .num_request_queues = 1};
    struct virtiofs *fs = calloc(1, sizeof(*fs));
    if (fs == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    fs->device.operations = &virtiofs_device;
    struct vhost_user_device_config config = {
        .operations = &share_operations,
        .name = "virtiofs",
        .index = 0,
        .queue_count = VIRTIO_FS_QUEUE_COUNT,
        .socket = setup->sockets[TRANSPORT_SOCKET_SHARE],
        .config_len = sizeof(content),
        .config = &content,
    };
    if (!vhost_user_device_make(&fs->share, setup, &config, error)) {
        virtiofs_release(&fs->device);
        return false;
    }
    *ret_device = &fs->device;
    return true;
}

const struct transport_device_operations virtiofs_device = {
    .daemon_count = 1,
    .shares_directory = true,
    .lends_memory = true,
    .make = virtiofs_make,
    .release = virtiofs_release,
};
