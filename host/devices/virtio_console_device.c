/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_console_device.h"

#include <sys/eventfd.h>

#include "abi/virtio_console.h"
#include "abi/virtio_mmio.h"

/* Takes what a chain holds. The guest has nothing to receive here: a buffer for it in this queue is a mistake. */
static bool chain_take(struct virtio_console *console, struct error *error)
{
    struct virtqueue *queue = &console->transport.queues[VIRTIO_CONSOLE_QUEUE_TRANSMIT];
    struct virtq_chain *chain = &console->chain;
    RETURN_IF_FAILED(virtqueue_take(queue, chain, error));
    if (chain->writable_count > 0) {
        return error_set(error, ERROR_GUEST, NULL, "broken request: a buffer to write to among those to transmit");
    }
    for (unsigned int i = 0; i < chain->readable_count; i++) {
        RETURN_IF_FAILED(
            message_port_take(console->port, chain->buffers[i].iov_base, chain->buffers[i].iov_len, error));
    }
    virtqueue_put(queue, chain->head, 0);
    return true;
}

/* Each chain is given back at once: the guest waits for the memory. Ends as soon as the machine has. */
static bool queue_drain(struct virtio_console *console, struct error *error)
{
    struct virtqueue *queue = &console->transport.queues[VIRTIO_CONSOLE_QUEUE_TRANSMIT];
    bool asked_for_kicks = false;
    while (!console->transport.machine->has_ended) {
        unsigned int available;
        RETURN_IF_FAILED(virtqueue_available(queue, &available, error));
        if (available > 0) {
            asked_for_kicks = false;
            RETURN_IF_FAILED(chain_take(console, error));
            if (virtqueue_publish(queue)) {
                virtio_mmio_notify(&console->transport);
            }
        } else if (!asked_for_kicks) {
            virtqueue_want_kicks(queue);
            asked_for_kicks = true;
        } else {
            return true;
        }
    }
    return true;
}

static void kick_handle(void *context, int fd)
{
    struct virtio_console *console = context;
    struct error error = {0};
    eventfd_t kicks = 0;
    eventfd_read(fd, &kicks);
    pthread_mutex_lock(&console->transport.lock);
    if (virtio_mmio_is_active(&console->transport) &&
        console->transport.queues[VIRTIO_CONSOLE_QUEUE_TRANSMIT].is_enabled && !queue_drain(console, &error)) {
        virtio_mmio_break(&console->transport, &error);
    }
    pthread_mutex_unlock(&console->transport.lock);
}

static bool console_activate(struct virtio_mmio *transport, struct error *error)
{
    return transport->queues[VIRTIO_CONSOLE_QUEUE_TRANSMIT].is_enabled ||
           error_set(error, ERROR_GUEST, NULL, "the driver started without a queue");
}

static const struct virtio_device_operations console_operations = {
    .device_id = VIRTIO_DEVICE_ID_CONSOLE,
    .activate = console_activate,
};

bool virtio_console_init(struct virtio_console *console, struct machine *machine,
                         const struct virtio_console_setup *setup, struct error *error)
{
    *console = (struct virtio_console){.port = setup->port};
    struct virtio_mmio_config config = {
        .operations = &console_operations,
        .name = "console",
        .index = setup->index,
        .queue_count = VIRTIO_CONSOLE_QUEUE_COUNT,
        .use_ioeventfd = setup->use_ioeventfd,
        .bank = setup->bank,
    };
    RETURN_IF_FAILED(virtio_mmio_init(&console->transport, machine, &config, error));
    int kick_fd = console->transport.kick_fds[VIRTIO_CONSOLE_QUEUE_TRANSMIT];
    if (!io_thread_add(setup->thread, kick_fd, kick_handle, console, error)) {
        virtio_console_release(console);
        return false;
    }
    virtio_mmio_attach(&console->transport, 0);
    return true;
}

void virtio_console_release(struct virtio_console *console)
{
    virtio_mmio_release(&console->transport);
}
