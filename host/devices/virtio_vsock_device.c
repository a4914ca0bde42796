/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_vsock_device.h"

#include <inttypes.h>
#include <string.h>

#include "abi/transports/vsock.h"
#include "abi/virtio_mmio.h"
#include "base/checked.h"

static uint64_t iov_total(const struct iovec *iov, unsigned int count)
{
    uint64_t len = 0;
    for (unsigned int i = 0; i < count; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

/* Copies to or from the front of vectors that have `len` bytes; they begin behind it afterwards. */
static void iov_front_copy(struct iovec **iov, unsigned int *count, void *bytes, size_t len, bool is_put)
{
    uint8_t *next = bytes;
    while (len > 0) { /* ends: no vector is empty, and there are enough */
        size_t part_len = (size_t)min_u64(len, (*iov)->iov_len);
        if (is_put) {
            memcpy((*iov)->iov_base, next, part_len);
        } else {
            memcpy(next, (*iov)->iov_base, part_len);
        }
        next += part_len;
        len -= part_len;
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + part_len;
        (*iov)->iov_len -= part_len;
        if ((*iov)->iov_len == 0) {
            (*iov)++;
            (*count)--;
        }
    }
}

/* An answer to a packet that belongs to no connection (5.10.6.4). RST is not answered: that would not end. */
static void refuse(struct virtio_vsock *vsock, const struct virtio_vsock_header *header)
{
    if (header->op == VIRTIO_VSOCK_OP_RST) {
        return;
    }
    vsock->refusals[vsock->refusal_count++] = (struct virtio_vsock_header){
        .src_cid = header->dst_cid,
        .dst_cid = header->src_cid,
        .src_port = header->dst_port,
        .dst_port = header->src_port,
        .type = header->type,
        .op = VIRTIO_VSOCK_OP_RST,
    };
}

static struct vsock_connection *connection_find(struct virtio_vsock *vsock, const struct virtio_vsock_header *header)
{
    for (unsigned int i = 0; i < vsock->connection_count; i++) {
        struct vsock_connection *connection = &vsock->connections[i];
        bool is_expected = connection->state == VSOCK_EXPECTED && header->op == VIRTIO_VSOCK_OP_REQUEST;
        bool is_open = (connection->state == VSOCK_REQUESTED || connection->state == VSOCK_ESTABLISHED) &&
                       connection->guest_port == header->src_port;
        if (connection->host_port == header->dst_port && connection->type == header->type && (is_expected || is_open)) {
            return connection;
        }
    }
    return NULL;
}

static bool header_check(const struct virtio_vsock_header *header, uint64_t data_len, struct error *error)
{
    if (header->src_cid != VSOCK_GUEST_CID) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends as %" PRIu64 ", which it is not", header->src_cid);
    }
    if (header->len != data_len) {
        return error_set(error, ERROR_GUEST, NULL, "the guest says that a packet has %" PRIu32 " bytes, not %" PRIu64,
                         header->len, data_len);
    }
    if (header->op < VIRTIO_VSOCK_OP_REQUEST || header->op > VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends the unknown operation %" PRIu16, header->op);
    }
    if (header->op != VIRTIO_VSOCK_OP_RW && header->len > 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends data with the operation %" PRIu16, header->op);
    }
    return true;
}

static bool packet_take(struct virtio_vsock *vsock, struct error *error)
{
    struct virtqueue *queue = &vsock->transport.queues[VIRTIO_VSOCK_QUEUE_TRANSMIT];
    struct virtq_chain *chain = &vsock->chain;
    RETURN_IF_FAILED(virtqueue_take(queue, chain, error));
    struct iovec *data = chain->buffers;
    unsigned int data_count = chain->readable_count;
    struct virtio_vsock_header header;
    uint64_t len = iov_total(data, data_count);
    if (chain->writable_count > 0 || len < sizeof(header)) {
        return error_set(error, ERROR_GUEST, NULL, "broken packet: %" PRIu64 " bytes to send, %u buffers to receive",
                         len, chain->writable_count);
    }
    iov_front_copy(&data, &data_count, &header, sizeof(header), false);
    RETURN_IF_FAILED(header_check(&header, len - sizeof(header), error));
    struct vsock_connection *connection = NULL;
    if (header.dst_cid == VIRTIO_VSOCK_CID_HOST) {
        connection = connection_find(vsock, &header);
    }
    if (connection == NULL) {
        refuse(vsock, &header);
    } else {
        RETURN_IF_FAILED(vsock_connection_take(connection, &header, data, data_count, error));
    }
    virtqueue_put(queue, chain->head, 0);
    return true;
}

/* Packets of the guest's, as long as there is room for what they may be answered by. */
static bool transmit_drain(struct virtio_vsock *vsock, bool *ret_has_moved, struct error *error)
{
    unsigned int available;
    RETURN_IF_FAILED(virtqueue_available(&vsock->transport.queues[VIRTIO_VSOCK_QUEUE_TRANSMIT], &available, error));
    while (available > 0 && vsock->refusal_count < VSOCK_REFUSAL_MAX) {
        RETURN_IF_FAILED(packet_take(vsock, error));
        *ret_has_moved = true;
        available--;
    }
    return true;
}

static bool has_packet(const struct vsock_connection *connection)
{
    return connection->wants != 0 || vsock_connection_ready(connection) > 0;
}

/* One connection after the other; NULL when none has anything to say. */
static struct vsock_connection *sender_next(struct virtio_vsock *vsock)
{
    for (unsigned int i = 0; i < vsock->connection_count; i++) {
        unsigned int turn = (vsock->connection_next + i) % vsock->connection_count;
        if (has_packet(&vsock->connections[turn])) {
            vsock->connection_next = turn + 1;
            return &vsock->connections[turn];
        }
    }
    return NULL;
}

/* Fills a buffer of the guest's with the next packet. There is one. */
static bool packet_give(struct virtio_vsock *vsock, struct vsock_connection *sender, struct error *error)
{
    struct virtqueue *queue = &vsock->transport.queues[VIRTIO_VSOCK_QUEUE_RECEIVE];
    struct virtq_chain *chain = &vsock->chain;
    RETURN_IF_FAILED(virtqueue_take(queue, chain, error));
    struct iovec *room = chain->buffers;
    unsigned int room_count = chain->writable_count;
    struct virtio_vsock_header header;
    uint64_t room_len = iov_total(room, room_count);
    /* A byte of data at least, so that each buffer brings what is to be sent nearer to its end. */
    if (chain->readable_count > 0 || room_len <= sizeof(header)) {
        return error_set(error, ERROR_GUEST, NULL, "broken buffer: %" PRIu64 " bytes to receive, %u buffers to send",
                         room_len, chain->readable_count);
    }
    const uint8_t *data = NULL;
    uint32_t data_room = (uint32_t)min_u64(room_len - sizeof(header), VSOCK_INCOMING_LEN);
    if (sender == NULL) {
        header = vsock->refusals[--vsock->refusal_count];
    } else if (!vsock_connection_next(sender, data_room, &header, &data)) {
        return error_set(error, ERROR_HOST, NULL, "a connection that had a packet has none");
    }
    iov_front_copy(&room, &room_count, &header, sizeof(header), true);
    iov_front_copy(&room, &room_count, (void *)(uintptr_t)data, header.len, true);
    virtqueue_put(queue, chain->head, (uint32_t)sizeof(header) + header.len);
    return true;
}

static bool receive_fill(struct virtio_vsock *vsock, bool *ret_has_moved, struct error *error)
{
    unsigned int available;
    RETURN_IF_FAILED(virtqueue_available(&vsock->transport.queues[VIRTIO_VSOCK_QUEUE_RECEIVE], &available, error));
    for (; available > 0; available--) {
        struct vsock_connection *sender = sender_next(vsock);
        if (sender == NULL && vsock->refusal_count == 0) {
            return true;
        }
        RETURN_IF_FAILED(packet_give(vsock, sender, error));
        *ret_has_moved = true;
        /* The next piece, while the guest has buffers. */
        if (sender != NULL) {
            vsock_connection_move(sender);
        }
    }
    return true;
}

static bool has_queues(const struct virtio_mmio *transport)
{
    return transport->queues[VIRTIO_VSOCK_QUEUE_RECEIVE].is_enabled &&
           transport->queues[VIRTIO_VSOCK_QUEUE_TRANSMIT].is_enabled;
}

/* Nobody else can connect. */
static bool clients_check(const struct virtio_vsock *vsock, struct error *error)
{
    for (unsigned int i = 0; i < vsock->connection_count && vsock->needs_client; i++) {
        const struct vsock_connection *connection = &vsock->connections[i];
        if (connection->client_failure != NULL) {
            return error_set(error, ERROR_IO, NULL, "%s (port %" PRIu32 ")", connection->client_failure,
                             connection->guest_port);
        }
    }
    return true;
}

static bool round_run(struct virtio_mmio *transport, bool *ret_has_moved, struct error *error)
{
    struct virtio_vsock *vsock = (struct virtio_vsock *)transport;
    if (!has_queues(transport)) {
        return true;
    }
    RETURN_IF_FAILED(transmit_drain(vsock, ret_has_moved, error));
    for (unsigned int i = 0; i < vsock->connection_count; i++) {
        *ret_has_moved |= vsock_connection_move(&vsock->connections[i]);
    }
    return clients_check(vsock, error) && receive_fill(vsock, ret_has_moved, error);
}

static void socket_handle(void *context, int fd UNUSED)
{
    struct virtio_vsock *vsock = context;
    virtio_rounds_serve(&vsock->rounds);
}

/* Sockets cannot be connected a second time: a driver that starts again finds no connections. */
static bool vsock_activate(struct virtio_mmio *transport, struct error *error)
{
    struct virtio_vsock *vsock = (struct virtio_vsock *)transport;
    if (!has_queues(transport)) {
        return error_set(error, ERROR_GUEST, NULL, "the driver started without its queues");
    }
    for (unsigned int i = 0; i < vsock->connection_count && vsock->was_activated; i++) {
        vsock_connection_release(&vsock->connections[i]);
    }
    vsock->connection_count = vsock->was_activated ? 0 : vsock->connection_count;
    vsock->refusal_count = 0;
    vsock->was_activated = true;
    /* Sockets may have had something to say before. */
    virtio_rounds_wake(&vsock->rounds, VIRTIO_VSOCK_QUEUE_TRANSMIT);
    return true;
}

static const struct virtio_device_operations vsock_operations = {
    .device_id = VIRTIO_DEVICE_ID_VSOCK,
    .activate = vsock_activate,
};

static bool connections_init(struct virtio_vsock *vsock, const struct virtio_vsock_setup *setup, struct error *error)
{
    bool is_made = true;
    for (unsigned int i = 0; i < setup->socket_count; i++) {
        const struct vsock_socket *socket = &setup->sockets[i];
        vsock->connection_count++;
        is_made = vsock_connection_init(&vsock->connections[i], setup->type, socket->fd, socket->host_port,
                                        is_made ? error : &(struct error){0}) &&
                  is_made;
    }
    return is_made;
}

static bool events_add(struct virtio_vsock *vsock, struct io_thread *thread, struct error *error)
{
    static const unsigned int queues[] = {VIRTIO_VSOCK_QUEUE_TRANSMIT, VIRTIO_VSOCK_QUEUE_RECEIVE};
    vsock->rounds = (struct virtio_rounds){&vsock->transport, round_run};
    RETURN_IF_FAILED(virtio_rounds_add(&vsock->rounds, thread, queues, ARRAY_COUNT(queues), error));
    for (unsigned int i = 0; i < vsock->connection_count; i++) {
        RETURN_IF_FAILED(io_thread_add_socket(thread, vsock->connections[i].fd, socket_handle, vsock, error));
    }
    return true;
}

bool virtio_vsock_init(struct virtio_vsock *vsock, struct machine *machine, const struct virtio_vsock_setup *setup,
                       struct error *error)
{
    *vsock = (struct virtio_vsock){.needs_client = setup->needs_client};
    struct virtio_mmio_config config = {
        .operations = &vsock_operations,
        .name = "vsock",
        .index = setup->index,
        .queue_count = VIRTIO_VSOCK_QUEUE_COUNT,
        .use_ioeventfd = setup->use_ioeventfd,
        .bank = setup->bank,
    };
    bool is_made = connections_init(vsock, setup, error);
    if (!is_made || !virtio_mmio_init(&vsock->transport, machine, &config, error)) {
        for (unsigned int i = 0; i < vsock->connection_count; i++) {
            vsock_connection_release(&vsock->connections[i]);
        }
        return false;
    }
    if (!events_add(vsock, setup->thread, error)) {
        virtio_vsock_release(vsock);
        return false;
    }
    struct virtio_vsock_config own_config = {.guest_cid = VSOCK_GUEST_CID};
    virtio_mmio_set_config(&vsock->transport, 0, &own_config, sizeof(own_config));
    virtio_mmio_attach(&vsock->transport, VIRTIO_VSOCK_F_STREAM | VIRTIO_VSOCK_F_SEQPACKET);
    return true;
}

void virtio_vsock_release(struct virtio_vsock *vsock)
{
    for (unsigned int i = 0; i < vsock->connection_count; i++) {
        vsock_connection_release(&vsock->connections[i]);
    }
    virtio_mmio_release(&vsock->transport);
}
