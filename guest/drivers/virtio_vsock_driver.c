/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/virtio_vsock_driver.h"

#include <stddef.h>
#include <string.h>

#include "abi/layout.h"
#include "abi/virtio_mmio.h"
#include "base/checked.h"
#include "guest/drivers/device_queue.h"

/* Ports of this side that nobody chose begin here. */
#define LOCAL_PORT_FIRST 0x8000u
#define NAME "vsock"

/* A buffer for what comes. Data begins at a cache line. */
struct vsock_buffer {
    uint8_t reserved[64 - sizeof(struct virtio_vsock_header)];
    struct virtio_vsock_header header;
    uint8_t data[VSOCK_PACKET_LEN_MAX];
} __attribute__((aligned(64)));

/* The header of a packet that goes. */
struct vsock_packet {
    struct virtio_vsock_header header;
} __attribute__((aligned(64)));

static void buffer_offer(struct vsock_device *device, struct vsock_buffer *buffer)
{
    struct virtqueue_part part = {(uint64_t)(uintptr_t)&buffer->header, sizeof(buffer->header) + sizeof(buffer->data),
                                  true};
    virtqueue_add(&device->receive, &part, 1, buffer);
}

static void receive_publish(struct vsock_device *device)
{
    if (virtqueue_publish(&device->receive)) {
        virtio_mmio_notify(&device->mmio, VIRTIO_VSOCK_QUEUE_RECEIVE);
    }
}

static void transmit_publish(struct vsock_device *device)
{
    if (virtqueue_publish(&device->transmit)) {
        virtio_mmio_notify(&device->mmio, VIRTIO_VSOCK_QUEUE_TRANSMIT);
    }
}

static bool queues_open(struct vsock_device *device, const struct vsock_setup *setup, struct error *error)
{
    struct device_queue_setup receive = {.index = VIRTIO_VSOCK_QUEUE_RECEIVE,
                                         .size_max = VSOCK_RECEIVE_COUNT,
                                         .parts_max = 1,
                                         .rings = setup->rings,
                                         .arena = setup->arena};
    struct device_queue_setup transmit = {.index = VIRTIO_VSOCK_QUEUE_TRANSMIT,
                                          .size_max = VSOCK_TRANSMIT_COUNT,
                                          .parts_max = 2,
                                          .rings = setup->rings,
                                          .arena = setup->arena};
    RETURN_IF_FAILED(device_queue_open(&device->mmio, &receive, &device->receive, error));
    RETURN_IF_FAILED(device_queue_open(&device->mmio, &transmit, &device->transmit, error));
    struct vsock_buffer *buffers =
        arena_allocate(setup->arena, sizeof(*buffers) * device->receive.size, _Alignof(struct vsock_buffer));
    device->headers =
        arena_allocate(setup->arena, sizeof(*device->headers) * device->transmit.size, _Alignof(struct vsock_packet));
    if (buffers == NULL || device->headers == NULL) {
        return error_set(error, ERROR_LIMIT, NAME, "the machine has no memory for packets");
    }
    for (uint16_t i = 0; i < device->receive.size; i++) {
        buffer_offer(device, &buffers[i]);
    }
    return true;
}

bool vsock_open(struct vsock_device *device, const struct vsock_setup *setup, struct error *error)
{
    bool is_seqpacket = setup->type == VIRTIO_VSOCK_TYPE_SEQPACKET;
    *device = (struct vsock_device){
        .poll_ticks = setup->poll_ticks, .type = setup->type, .message_len_max = setup->message_len_max};
    struct virtio_mmio_open open = {
        .name = NAME,
        .registers_gpa = setup->registers_gpa,
        .device_id = VIRTIO_DEVICE_ID_VSOCK,
        .features = {VIRTIO_F_EVENT_IDX | VIRTIO_VSOCK_F_STREAM,
                     VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | (is_seqpacket ? VIRTIO_VSOCK_F_SEQPACKET : 0)},
        .memory = setup->rings,
    };
    RETURN_IF_FAILED(virtio_mmio_open(&device->mmio, &open, error));
    device->guest_cid = virtio_mmio_read_config(&device->mmio, offsetof(struct virtio_vsock_config, guest_cid),
                                                sizeof(((struct virtio_vsock_config *)NULL)->guest_cid));
    RETURN_IF_FAILED(queues_open(device, setup, error));
    RETURN_IF_FAILED(virtio_mmio_start(&device->mmio, error));
    receive_publish(device);
    return true;
}

static bool broken(struct error *error)
{
    return error_set(error, ERROR_HOST, NAME, "the device broke a virtqueue");
}

/* Takes back what the host has got of this side. */
static bool transmit_reap(struct vsock_device *device, struct error *error)
{
    void *token;
    uint32_t written_len;
    enum virtqueue_taken taken;
    while ((taken = virtqueue_take(&device->transmit, &token, &written_len)) == VIRTQUEUE_TAKEN) {
    }
    return taken == VIRTQUEUE_EMPTY || broken(error);
}

static bool data_put(struct vsock_connection *connection, const uint8_t *data, uint32_t len, struct error *error)
{
    uint32_t direct_len = (uint32_t)min_u64(len, connection->target_left);
    if (direct_len > 0) {
        memcpy(connection->target, data, direct_len);
        connection->target += direct_len;
        connection->target_left -= direct_len;
        connection->forwarded_count += direct_len;
    }
    data += direct_len;
    len -= direct_len;
    if (len > VSOCK_BUFFER_LEN - (connection->buffered_count - connection->taken_count)) {
        return error_set(error, ERROR_HOST, NAME, "the device sends more than its credit");
    }
    uint32_t off = connection->buffered_count % VSOCK_BUFFER_LEN;
    uint32_t first_len = (uint32_t)min_u64(len, VSOCK_BUFFER_LEN - off);
    memcpy(connection->buffer + off, data, first_len);
    memcpy(connection->buffer, data + first_len, len - first_len);
    connection->buffered_count += len;
    return true;
}

/* Puts a packet, for which there is room, into the queue; its `len` bytes stay where they are until the device has
 * them.
 */
static void packet_put(struct vsock_device *device, const struct virtio_vsock_header *packet, const void *data)
{
    /* The device takes packets in their order, so the header used longest ago is free. */
    struct virtio_vsock_header *header = &device->headers[device->header_next].header;
    device->header_next = (device->header_next + 1) % device->transmit.size;
    *header = *packet;
    struct virtqueue_part parts[] = {{(uint64_t)(uintptr_t)header, sizeof(*header), false},
                                     {(uint64_t)(uintptr_t)data, header->len, false}};
    virtqueue_add(&device->transmit, parts, header->len > 0 ? 2 : 1, header);
}

/* The host asks for a port that nobody listens at (5.10.6.4). Without room it is not told: waiting could end here
 * again.
 */
static void refuse(struct vsock_device *device, const struct virtio_vsock_header *header)
{
    if (virtqueue_room(&device->transmit) == 0) {
        return;
    }
    struct virtio_vsock_header answer = {
        .src_cid = device->guest_cid,
        .dst_cid = VIRTIO_VSOCK_CID_HOST,
        .src_port = header->dst_port,
        .dst_port = header->src_port,
        .type = (uint16_t)device->type,
        .op = VIRTIO_VSOCK_OP_RST,
    };
    packet_put(device, &answer, NULL);
    transmit_publish(device);
}

static struct vsock_connection *connection_of(struct vsock_device *device, const struct virtio_vsock_header *header)
{
    for (unsigned int i = 0; i < device->connection_count; i++) {
        struct vsock_connection *connection = device->connections[i];
        bool is_asked = connection->state == VSOCK_LISTENING && header->op == VIRTIO_VSOCK_OP_REQUEST;
        if (connection->local_port == header->dst_port && (is_asked || connection->peer_port == header->src_port)) {
            return connection;
        }
    }
    return NULL;
}

static bool packet_take(struct vsock_device *device, const struct vsock_buffer *buffer, uint32_t len,
                        struct error *error)
{
    const struct virtio_vsock_header *header = &buffer->header;
    if (len < sizeof(*header) || header->len != len - sizeof(*header) || header->dst_cid != device->guest_cid) {
        return error_set(error, ERROR_HOST, NAME, "the device sends a broken packet");
    }
    struct vsock_connection *connection = connection_of(device, header);
    if (connection == NULL) {
        if (header->op == VIRTIO_VSOCK_OP_REQUEST) {
            refuse(device, header);
        }
        return true; /* nobody here can tell what it is about */
    }
    connection->peer_buf_alloc = header->buf_alloc;
    connection->peer_fwd_cnt = header->fwd_cnt;
    switch (header->op) {
    case VIRTIO_VSOCK_OP_REQUEST:
        connection->peer_port = header->src_port;
        connection->state = VSOCK_OPEN;
        return true;
    case VIRTIO_VSOCK_OP_RESPONSE:
        connection->state = VSOCK_OPEN;
        return true;
    case VIRTIO_VSOCK_OP_RST:
        connection->state = VSOCK_CLOSED;
        return true;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        connection->peer_sends_no_more |= (header->flags & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
        return true;
    case VIRTIO_VSOCK_OP_RW:
        return data_put(connection, buffer->data, header->len, error);
    default:
        return true; /* credit, which is in every packet; the host is told of its own in time without asking */
    }
}

/* What has come. */
static bool receive_take(struct vsock_device *device, struct error *error)
{
    void *token;
    uint32_t written_len;
    enum virtqueue_taken taken;
    while ((taken = virtqueue_take(&device->receive, &token, &written_len)) == VIRTQUEUE_TAKEN) {
        RETURN_IF_FAILED(packet_take(device, token, written_len, error));
        buffer_offer(device, token);
    }
    receive_publish(device);
    return taken == VIRTQUEUE_EMPTY || broken(error);
}

/* Until something comes, or something that was sent has arrived. */
static bool wait_for_any(struct vsock_device *device, struct error *error)
{
    struct virtqueue *const queues[] = {&device->receive, &device->transmit};
    RETURN_IF_FAILED(device_queues_wait(&device->mmio, queues, ARRAY_COUNT(queues), device->poll_ticks, error));
    return transmit_reap(device, error) && receive_take(device, error);
}

/* Adds a packet, as soon as there is room for it. */
static bool packet_add(struct vsock_connection *connection, uint16_t op, uint32_t flags, const void *data, uint32_t len,
                       struct error *error)
{
    struct vsock_device *device = connection->device;
    while (virtqueue_room(&device->transmit) == 0) {
        transmit_publish(device);
        RETURN_IF_FAILED(wait_for_any(device, error));
    }
    struct virtio_vsock_header header = {
        .src_cid = device->guest_cid,
        .dst_cid = VIRTIO_VSOCK_CID_HOST,
        .src_port = connection->local_port,
        .dst_port = connection->peer_port,
        .len = len,
        .type = (uint16_t)device->type,
        .op = op,
        .flags = flags,
        .buf_alloc = VSOCK_BUFFER_LEN,
        .fwd_cnt = connection->forwarded_count,
    };
    connection->told_count = connection->forwarded_count;
    packet_put(device, &header, data);
    return true;
}

/* A packet without data; nobody has to wait for it to arrive. */
static bool packet_send(struct vsock_connection *connection, uint16_t op, uint32_t flags, struct error *error)
{
    RETURN_IF_FAILED(packet_add(connection, op, flags, NULL, 0, error));
    transmit_publish(connection->device);
    return true;
}

static bool connection_make(struct vsock_device *device, struct vsock_connection *connection, struct arena *arena,
                            struct error *error)
{
    *connection = (struct vsock_connection){
        .device = device,
        .local_port = LOCAL_PORT_FIRST + device->connection_count,
        .buffer = arena_allocate(arena, VSOCK_BUFFER_LEN, LAYOUT_PAGE_LEN),
    };
    if (connection->buffer == NULL || device->connection_count == VSOCK_CONNECTION_MAX) {
        return error_set(error, ERROR_LIMIT, NAME, "the machine has no memory for a connection");
    }
    device->connections[device->connection_count++] = connection;
    return true;
}

bool vsock_accept(struct vsock_device *device, struct vsock_connection *connection, uint32_t port, struct arena *arena,
                  struct error *error)
{
    RETURN_IF_FAILED(connection_make(device, connection, arena, error));
    connection->local_port = port;
    connection->state = VSOCK_LISTENING;
    while (connection->state == VSOCK_LISTENING) {
        RETURN_IF_FAILED(wait_for_any(device, error));
    }
    return packet_send(connection, VIRTIO_VSOCK_OP_RESPONSE, 0, error);
}

bool vsock_connect(struct vsock_device *device, struct vsock_connection *connection, uint32_t port, struct arena *arena,
                   struct error *error)
{
    RETURN_IF_FAILED(connection_make(device, connection, arena, error));
    connection->peer_port = port;
    connection->state = VSOCK_CONNECTING;
    RETURN_IF_FAILED(packet_send(connection, VIRTIO_VSOCK_OP_REQUEST, 0, error));
    while (connection->state == VSOCK_CONNECTING) {
        RETURN_IF_FAILED(wait_for_any(device, error));
    }
    return connection->state == VSOCK_OPEN ||
           error_set(error, ERROR_HOST, NAME, "the host refuses a connection to port %u", port);
}

static bool open_check(const struct vsock_connection *connection, struct error *error)
{
    return connection->state == VSOCK_OPEN || error_set(error, ERROR_IO, NAME, "the host has closed a connection");
}

static uint32_t credit(const struct vsock_connection *connection)
{
    uint32_t in_flight = connection->sent_count - connection->peer_fwd_cnt;
    return connection->peer_buf_alloc > in_flight ? connection->peer_buf_alloc - in_flight : 0;
}

/* How long the next packet of `left` bytes can be, and whether it is a message's last one. */
static uint32_t packet_plan(struct vsock_connection *connection, uint64_t left, uint32_t *ret_flags)
{
    const struct vsock_device *device = connection->device;
    uint32_t len = (uint32_t)min_u64(left, credit(connection));
    *ret_flags = 0;
    if (device->type == VIRTIO_VSOCK_TYPE_STREAM) {
        return (uint32_t)min_u64(len, VSOCK_PACKET_LEN_MAX);
    }
    if (connection->message_left == 0) {
        connection->message_left = min_u64(left, device->message_len_max);
    }
    len = (uint32_t)min_u64(len, min_u64(connection->message_left, VSOCK_PACKET_LEN_MAX / 2));
    connection->message_left -= len;
    *ret_flags = connection->message_left == 0 ? VIRTIO_VSOCK_SEQ_EOM : 0;
    return len;
}

bool vsock_send(struct vsock_connection *connection, const void *data, uint64_t len, struct error *error)
{
    struct vsock_device *device = connection->device;
    for (uint64_t done_len = 0; done_len < len;) { /* ends: the host gives credit, or the job has a limit of time */
        RETURN_IF_FAILED(open_check(connection, error));
        uint32_t flags;
        uint32_t part_len = packet_plan(connection, len - done_len, &flags);
        if (part_len == 0) {
            transmit_publish(device);
            RETURN_IF_FAILED(wait_for_any(device, error));
            continue;
        }
        RETURN_IF_FAILED(
            packet_add(connection, VIRTIO_VSOCK_OP_RW, flags, (const uint8_t *)data + done_len, part_len, error));
        connection->sent_count += part_len;
        done_len += part_len;
    }
    transmit_publish(device);
    while (virtqueue_in_flight(&device->transmit) > 0) {
        RETURN_IF_FAILED(wait_for_any(device, error));
    }
    return true;
}

/* What came before anybody waited for it. */
static void buffer_take(struct vsock_connection *connection)
{
    uint32_t held_len = connection->buffered_count - connection->taken_count;
    uint32_t len = (uint32_t)min_u64(held_len, connection->target_left);
    uint32_t off = connection->taken_count % VSOCK_BUFFER_LEN;
    uint32_t first_len = (uint32_t)min_u64(len, VSOCK_BUFFER_LEN - off);
    memcpy(connection->target, connection->buffer + off, first_len);
    memcpy(connection->target + first_len, connection->buffer, len - first_len);
    connection->taken_count += len;
    connection->forwarded_count += len;
    connection->target += len;
    connection->target_left -= len;
}

bool vsock_receive(struct vsock_connection *connection, void *data, uint64_t len, struct error *error)
{
    connection->target = data;
    connection->target_left = len;
    buffer_take(connection);
    for (;;) { /* ends: the host sends, or closes, or the job has a limit of time */
        if (connection->forwarded_count - connection->told_count >= VSOCK_BUFFER_LEN / 4) {
            RETURN_IF_FAILED(packet_send(connection, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, error));
        }
        if (connection->target_left == 0) {
            return true;
        }
        RETURN_IF_FAILED(open_check(connection, error));
        if (connection->peer_sends_no_more) {
            return error_set(error, ERROR_IO, NAME, "the host's data ends early");
        }
        RETURN_IF_FAILED(wait_for_any(connection->device, error));
    }
}

bool vsock_close(struct vsock_connection *connection, struct error *error)
{
    RETURN_IF_FAILED(packet_send(connection, VIRTIO_VSOCK_OP_SHUTDOWN,
                                 VIRTIO_VSOCK_SHUTDOWN_RECEIVE | VIRTIO_VSOCK_SHUTDOWN_SEND, error));
    while (connection->state == VSOCK_OPEN) {
        RETURN_IF_FAILED(wait_for_any(connection->device, error));
    }
    return true;
}
