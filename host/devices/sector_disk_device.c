/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/sector_disk_device.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Its place in the machine. */
#define DEVICE_INDEX 0u

static struct sector_disk *disk_of(struct backend *backend)
{
    return (struct sector_disk *)((uint8_t *)backend - offsetof(struct sector_disk, backend));
}

/* Between the disk and the request's vectors. */
static void content_copy(struct sector_disk *disk, const struct backend_operation *operation)
{
    uint8_t *content = disk->content + operation->off;
    for (unsigned int i = 0; i < operation->iov_count; i++) {
        const struct iovec *iov = &operation->iov[i];
        if (operation->kind == BACKEND_READ) {
            memcpy(iov->iov_base, content, iov->iov_len);
        } else {
            memcpy(content, iov->iov_base, iov->iov_len);
        }
        content += iov->iov_len;
    }
}

static bool disk_start(struct backend *backend, struct backend_operation *operation)
{
    struct sector_disk *disk = disk_of(backend);
    operation->result = 0;
    switch (operation->kind) {
    case BACKEND_READ:
        content_copy(disk, operation);
        return true;
    case BACKEND_FLUSH:
        return true;
    case BACKEND_WRITE:
        content_copy(disk, operation);
        break;
    case BACKEND_DISCARD:
    case BACKEND_WRITE_ZEROES:
        memset(disk->content + operation->off, 0, (size_t)operation->len);
        break;
    }
    struct error error = {0};
    bool is_control = disk->control_off >= operation->off && disk->control_off - operation->off < operation->len;
    if (is_control && !disk->handler(disk, &error)) {
        machine_end(disk->machine, &error);
        operation->result = EIO;
    }
    return true;
}

static int disk_extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    *ret_extent = (struct backend_extent){.off = off, .len = backend->len - off, .kind = BACKEND_EXTENT_DATA};
    return 0;
}

static const struct backend_operations disk_operations = {
    .name = "sectors",
    .start = disk_start,
    .extent = disk_extent,
};

void sector_disk_release(struct transport_device *device)
{
    struct sector_disk *disk = (struct sector_disk *)device;
    if (disk->has_blk) {
        virtio_blk_release(&disk->blk);
    }
    free(disk->content);
    free(disk);
}

static bool blk_make(struct sector_disk *disk, const struct transport_device_setup *setup, const char *name,
                     struct error *error)
{
    struct virtio_blk_setup blk = {
        .index = DEVICE_INDEX,
        .queue_count = 1,
        .use_ioeventfd = setup->use_ioeventfd,
        .thread = setup->thread,
        .bank = setup->bank,
    };
    disk->has_blk = virtio_blk_init(&disk->blk, setup->machine, &blk, error);
    struct virtio_blk_medium medium = {
        .name = name,
        .backend = &disk->backend,
        .sector_len = VIRTIO_BLK_SECTOR_LEN,
        .allocated_len = disk->backend.len,
    };
    return disk->has_blk && virtio_blk_attach(&disk->blk, &medium, error);
}

bool sector_disk_make(const struct transport_device_setup *setup, const struct sector_disk_config *config,
                      size_t struct_len, struct sector_disk **ret_disk, struct error *error)
{
    struct sector_disk *disk = calloc(1, struct_len);
    uint8_t *content = calloc(1, config->len);
    if (disk == NULL || content == NULL) {
        free(disk);
        free(content);
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    disk->device.operations = config->operations;
    disk->backend = (struct backend){
        .operations = &disk_operations,
        .fd = -1,
        .len = config->len,
        .writable = true,
        .event_fd = -1,
        .data_fd = -1,
        .direct_fd = -1,
    };
    disk->machine = setup->machine;
    disk->input = setup->input;
    disk->output = setup->output;
    disk->content = content;
    disk->control_off = config->control_off;
    disk->handler = config->handler;
    if (!blk_make(disk, setup, config->name, error)) {
        sector_disk_release(&disk->device);
        return false;
    }
    *ret_disk = disk;
    return true;
}
