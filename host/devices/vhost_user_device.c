/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vhost_user_device.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "abi/virtio_mmio.h"
#include "host/devices/vhost_user_protocol.h"

/* What our transport promises the guest, whoever serves the queues. */
#define NEEDED_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

/* The eventfd is the daemon's, too: it may be signalled without a reason, or emptied before we come. */
static void call_handle(void *context, int fd)
{
    struct vhost_user_device *device = context;
    eventfd_t calls;
    eventfd_read(fd, &calls);
    pthread_mutex_lock(&device->transport.lock);
    if (virtio_mmio_is_active(&device->transport)) {
        virtio_mmio_notify(&device->transport);
    }
    pthread_mutex_unlock(&device->transport.lock);
}

/*
 * The socket is readable. Under the lock, as an answer may be due to whoever has it. A daemon that has failed is let go
 * of, which also keeps this thread from being woken again.
 */
static void socket_handle(void *context, int fd UNUSED)
{
    struct vhost_user_device *device = context;
    struct error error = {0};
    pthread_mutex_lock(&device->transport.lock);
    if (vhost_user_has_failed(&device->daemon, &error)) {
        vhost_user_close(&device->daemon);
        virtio_mmio_break(&device->transport, &error);
    }
    pthread_mutex_unlock(&device->transport.lock);
}

static bool rings_start(struct vhost_user_device *device, struct error *error)
{
    const struct virtio_mmio *transport = &device->transport;
    RETURN_IF_FAILED(vhost_user_features_set(&device->daemon, transport->negotiated, error));
    for (uint32_t i = 0; i < transport->queue_count; i++) {
        const struct virtqueue *queue = &transport->queues[i];
        if (!queue->is_enabled) {
            continue;
        }
        struct vhost_user_ring ring = {
            .index = i,
            .size = queue->size,
            .desc_gpa = queue->desc_gpa,
            .avail_gpa = queue->driver_gpa,
            .used_gpa = queue->device_gpa,
            .kick_fd = transport->kick_fds[i],
            .call_fd = device->call_fd,
        };
        device->started_mask |= 1u << i;
        RETURN_IF_FAILED(vhost_user_ring_start(&device->daemon, &ring, error));
    }
    return device->started_mask != 0 || error_set(error, ERROR_GUEST, NULL, "the driver started without a queue");
}

/* A daemon that has failed is let go of at once: what else it says does not matter. */
bool vhost_user_device_activate(struct virtio_mmio *transport, struct error *error)
{
    struct vhost_user_device *device = (struct vhost_user_device *)transport;
    bool is_started = rings_start(device, error);
    if (!is_started) {
        vhost_user_close(&device->daemon);
    }
    return is_started;
}

/* All of them, also when the driver takes back only one: with DRIVER_OK set it cannot enable it again. */
void vhost_user_device_settle(struct virtio_mmio *transport)
{
    struct vhost_user_device *device = (struct vhost_user_device *)transport;
    struct error error = {0};
    for (uint32_t i = 0; i < transport->queue_count; i++) {
        if ((device->started_mask & 1u << i) != 0 && !vhost_user_ring_stop(&device->daemon, i, &error)) {
            vhost_user_close(&device->daemon);
            machine_end(transport->machine, &error);
            break;
        }
    }
    device->started_mask = 0;
}

static bool transport_make(struct vhost_user_device *device, const struct transport_device_setup *setup,
                           const struct vhost_user_device_config *config, struct error *error)
{
    struct virtio_mmio_config mmio = {
        .operations = config->operations,
        .name = config->name,
        .index = config->index,
        .queue_count = config->queue_count,
        .use_ioeventfd = setup->use_ioeventfd,
        .bank = setup->bank,
    };
    device->has_transport = virtio_mmio_init(&device->transport, setup->machine, &mmio, error);
    if (!device->has_transport) {
        return false;
    }
    device->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (device->call_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    }
    return io_thread_add(setup->thread, device->call_fd, call_handle, device, error) &&
           io_thread_add(setup->thread, device->daemon.fd, socket_handle, device, error);
}

/* Sets *ret_features to what the guest may have. */
static bool config_make(struct vhost_user_device *device, const struct vhost_user_device_config *config,
                        uint64_t *ret_features, struct error *error)
{
    uint8_t content[VHOST_USER_CONFIG_LEN_MAX];
    if (config->config != NULL) {
        memcpy(content, config->config, config->config_len);
    } else {
        RETURN_IF_FAILED(vhost_user_config_get(&device->daemon, content, config->config_len, error));
    }
    virtio_mmio_set_config(&device->transport, 0, content, config->config_len);
    *ret_features = device->daemon.features & config->features;
    if (config->void_features != NULL) {
        *ret_features &= ~config->void_features(content);
    }
    return true;
}

bool vhost_user_device_make(struct vhost_user_device *device, const struct transport_device_setup *setup,
                            const struct vhost_user_device_config *config, struct error *error)
{
    uint64_t needed = config->config == NULL ? VHOST_USER_PROTOCOL_F_CONFIG : 0;
    device->call_fd = -1;
    RETURN_IF_FAILED(vhost_user_connect(&device->daemon, config->socket, setup->first_socket_fd + (int)config->index,
                                        needed, error));
    uint64_t missing = NEEDED_FEATURES & ~device->daemon.features;
    if (missing != 0) {
        return error_set(error, ERROR_UNSUPPORTED, config->socket, "the daemon's device lacks the features 0x%" PRIx64,
                         missing);
    }
    RETURN_IF_FAILED(transport_make(device, setup, config, error));
    uint64_t features;
    RETURN_IF_FAILED(config_make(device, config, &features, error));
    RETURN_IF_FAILED(vhost_user_memory_share(&device->daemon, &setup->machine->memory, error));
    virtio_mmio_attach(&device->transport, features);
    return true;
}

void vhost_user_device_release(struct vhost_user_device *device)
{
    vhost_user_close(&device->daemon);
    if (device->has_transport) {
        virtio_mmio_release(&device->transport);
    }
    if (device->call_fd >= 0) {
        close(device->call_fd);
        device->call_fd = -1;
    }
}
