/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_rounds.h"

#include <sys/eventfd.h>

static void kick_handle(void *context, int fd)
{
    eventfd_t kicks;
    eventfd_read(fd, &kicks);
    virtio_rounds_serve(context);
}

bool virtio_rounds_add(struct virtio_rounds *rounds, struct io_thread *thread, const unsigned int *queues,
                       unsigned int count, struct error *error)
{
    for (unsigned int i = 0; i < count; i++) {
        int kick_fd = rounds->transport->kick_fds[queues[i]];
        RETURN_IF_FAILED(io_thread_add(thread, kick_fd, kick_handle, rounds, error));
    }
    return true;
}

static void publish(struct virtio_mmio *transport)
{
    for (unsigned int i = 0; i < transport->queue_count; i++) {
        struct virtqueue *queue = &transport->queues[i];
        if (queue->is_enabled && queue->used_next != queue->used_told && virtqueue_publish(queue)) {
            virtio_mmio_notify(transport);
        }
    }
}

static void want_kicks(struct virtio_mmio *transport)
{
    for (unsigned int i = 0; i < transport->queue_count; i++) {
        if (transport->queues[i].is_enabled) {
            virtqueue_want_kicks(&transport->queues[i]);
        }
    }
}

/* Ends as soon as the machine has. */
static bool rounds_run(struct virtio_rounds *rounds, struct error *error)
{
    struct virtio_mmio *transport = rounds->transport;
    bool asked_for_kicks = false;
    while (!transport->machine->has_ended) {
        bool has_moved = false;
        RETURN_IF_FAILED(rounds->round(transport, &has_moved, error));
        if (has_moved) {
            publish(transport);
            asked_for_kicks = false;
        } else if (!asked_for_kicks) {
            want_kicks(transport);
            asked_for_kicks = true;
        } else {
            return true;
        }
    }
    return true;
}

void virtio_rounds_serve(struct virtio_rounds *rounds)
{
    struct error error = {0};
    pthread_mutex_lock(&rounds->transport->lock);
    if (virtio_mmio_is_active(rounds->transport) && !rounds_run(rounds, &error)) {
        virtio_mmio_break(rounds->transport, &error);
    }
    pthread_mutex_unlock(&rounds->transport->lock);
}

void virtio_rounds_wake(const struct virtio_rounds *rounds, unsigned int queue)
{
    eventfd_write(rounds->transport->kick_fds[queue], 1);
}
