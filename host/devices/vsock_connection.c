/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vsock_connection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/transports/vsock.h"
#include "base/checked.h"
#include "base/number_text.h"

/* Where ports of the host's begin that nobody has chosen; below are those that services have. */
#define HOST_PORT_FIRST 0x40000000u

bool vsock_connection_init(struct vsock_connection *connection, enum virtio_vsock_type type, int fd, uint32_t host_port,
                           struct error *error)
{
    *connection = (struct vsock_connection){
        .state = host_port != 0 ? VSOCK_EXPECTED : VSOCK_GREETING,
        .type = type,
        .fd = fd,
        .host_port = host_port != 0 ? host_port : HOST_PORT_FIRST,
        .outgoing = malloc(VSOCK_BUFFER_LEN),
        .marks = calloc(1, VSOCK_BUFFER_LEN),
        .message = malloc(VSOCK_MESSAGE_LEN_MAX),
        .incoming = malloc(VSOCK_INCOMING_LEN),
    };
    return (connection->outgoing != NULL && connection->marks != NULL && connection->message != NULL &&
            connection->incoming != NULL) ||
           error_set(error, ERROR_HOST, NULL, "out of memory");
}

static void socket_close(struct vsock_connection *connection)
{
    if (connection->fd >= 0) {
        close(connection->fd);
        connection->fd = -1;
    }
    connection->state = VSOCK_CLOSED;
}

void vsock_connection_release(struct vsock_connection *connection)
{
    socket_close(connection);
    free(connection->outgoing);
    free(connection->marks);
    free(connection->message);
    free(connection->incoming);
}

/* Bytes that the socket has not taken yet: VSOCK_BUFFER_LEN at most. */
static uint32_t outgoing_len(const struct vsock_connection *connection)
{
    return connection->received_count - connection->forwarded_count;
}

/* Bytes that were sent to the guest and that it has not passed on, by what it says. */
static uint32_t in_flight_len(const struct vsock_connection *connection)
{
    return connection->sent_count - connection->guest_fwd_cnt;
}

/* Every packet says what the guest can hold. It may take memory away, but not what it has passed on already. */
static bool credit_take(struct vsock_connection *connection, const struct virtio_vsock_header *header,
                        struct error *error)
{
    uint32_t passed_on = header->fwd_cnt - connection->guest_fwd_cnt;
    if (passed_on > in_flight_len(connection)) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest says that it has passed on %" PRIu32 " bytes, after %" PRIu32 " of %" PRIu32,
                         header->fwd_cnt, connection->guest_fwd_cnt, connection->sent_count);
    }
    connection->guest_fwd_cnt = header->fwd_cnt;
    connection->guest_buf_alloc = header->buf_alloc;
    return true;
}

static void ring_put(struct vsock_connection *connection, const uint8_t *data, uint32_t len)
{
    uint32_t off = connection->received_count % VSOCK_BUFFER_LEN;
    uint32_t first_len = (uint32_t)min_u64(len, VSOCK_BUFFER_LEN - off);
    memcpy(connection->outgoing + off, data, first_len);
    memcpy(connection->outgoing, data + first_len, len - first_len);
    connection->received_count += len;
}

static bool data_check(const struct vsock_connection *connection, const struct virtio_vsock_header *header,
                       struct error *error)
{
    uint32_t flags = connection->type == VIRTIO_VSOCK_TYPE_SEQPACKET ? VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR : 0;
    if (connection->state != VSOCK_ESTABLISHED || connection->guest_sends_no_more) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends data on a connection that is not open for it");
    }
    if (header->len == 0 || (header->flags & ~flags) != 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends %" PRIu32 " bytes with the flags 0x%" PRIx32,
                         header->len, header->flags);
    }
    if (header->len > VSOCK_BUFFER_LEN - outgoing_len(connection)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends %" PRIu32 " bytes with a credit of %" PRIu32,
                         header->len, VSOCK_BUFFER_LEN - outgoing_len(connection));
    }
    if (connection->type == VIRTIO_VSOCK_TYPE_SEQPACKET &&
        header->len > VSOCK_MESSAGE_LEN_MAX - connection->message_len) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sends a message of more than %u bytes",
                         VSOCK_MESSAGE_LEN_MAX);
    }
    return true;
}

static bool data_take(struct vsock_connection *connection, const struct virtio_vsock_header *header,
                      const struct iovec *data, unsigned int data_count, struct error *error)
{
    RETURN_IF_FAILED(data_check(connection, header, error));
    for (unsigned int i = 0; i < data_count; i++) {
        ring_put(connection, data[i].iov_base, (uint32_t)data[i].iov_len);
    }
    if (connection->type == VIRTIO_VSOCK_TYPE_SEQPACKET) {
        bool is_complete = (header->flags & VIRTIO_VSOCK_SEQ_EOM) != 0;
        connection->message_len = is_complete ? 0 : connection->message_len + header->len;
        connection->marks[(connection->received_count - 1) % VSOCK_BUFFER_LEN] = is_complete;
    }
    return true;
}

/* The answer to our REQUEST. */
static bool response_take(struct vsock_connection *connection, struct error *error)
{
    if (connection->state != VSOCK_REQUESTED) {
        return error_set(error, ERROR_GUEST, NULL, "the guest accepts a connection that nobody asks for");
    }
    char answer[VSOCK_GREETING_LEN_MAX];
    int len = snprintf(answer, sizeof(answer), "OK %" PRIu32 "\n", connection->host_port);
    connection->state = VSOCK_ESTABLISHED;
    /* The socket is empty: it takes a few bytes whole, or has nobody at its other end. */
    connection->socket_takes_no_more = send(connection->fd, answer, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len;
    return true;
}

static bool shutdown_take(struct vsock_connection *connection, uint32_t flags, struct error *error)
{
    if ((flags & ~(VIRTIO_VSOCK_SHUTDOWN_RECEIVE | VIRTIO_VSOCK_SHUTDOWN_SEND)) != 0 || flags == 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest shuts down with the flags 0x%" PRIx32, flags);
    }
    connection->guest_receives_no_more |= (flags & VIRTIO_VSOCK_SHUTDOWN_RECEIVE) != 0;
    connection->guest_sends_no_more |= (flags & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
    return true;
}

bool vsock_connection_take(struct vsock_connection *connection, const struct virtio_vsock_header *header,
                           const struct iovec *data, unsigned int data_count, struct error *error)
{
    if (header->op == VIRTIO_VSOCK_OP_REQUEST) {
        if (connection->state != VSOCK_EXPECTED) {
            return error_set(error, ERROR_GUEST, NULL, "the guest connects on a connection that there is");
        }
        connection->state = VSOCK_ESTABLISHED;
        connection->guest_port = header->src_port;
        connection->wants |= VSOCK_WANT_RESPONSE;
    }
    RETURN_IF_FAILED(credit_take(connection, header, error));
    switch (header->op) {
    case VIRTIO_VSOCK_OP_RESPONSE:
        return response_take(connection, error);
    case VIRTIO_VSOCK_OP_RST:
        if (connection->state == VSOCK_REQUESTED) {
            connection->client_failure = "the guest refuses the client's connection";
        }
        connection->wants = 0;
        socket_close(connection);
        return true;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        return shutdown_take(connection, header->flags, error);
    case VIRTIO_VSOCK_OP_RW:
        return data_take(connection, header, data, data_count, error);
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        connection->wants |= VSOCK_WANT_CREDIT_UPDATE;
        return true;
    default: /* REQUEST, CREDIT_UPDATE */
        return true;
    }
}

/* Bytes that go to the socket by one call: all of a stream's, one message; 0: none can. */
static uint32_t outgoing_next_len(const struct vsock_connection *connection)
{
    uint32_t len = outgoing_len(connection);
    if (connection->type == VIRTIO_VSOCK_TYPE_STREAM || len == 0) {
        return len;
    }
    uint32_t off = connection->forwarded_count % VSOCK_BUFFER_LEN;
    uint32_t first_len = (uint32_t)min_u64(len, VSOCK_BUFFER_LEN - off);
    const uint8_t *mark = memchr(connection->marks + off, 1, first_len);
    if (mark != NULL) {
        return (uint32_t)(mark - connection->marks) - off + 1;
    }
    mark = memchr(connection->marks, 1, len - first_len);
    return mark != NULL ? first_len + (uint32_t)(mark - connection->marks) + 1 : 0;
}

static void outgoing_advance(struct vsock_connection *connection, uint32_t len)
{
    if (connection->type == VIRTIO_VSOCK_TYPE_SEQPACKET) {
        connection->marks[(connection->forwarded_count + len - 1) % VSOCK_BUFFER_LEN] = false;
    }
    connection->forwarded_count += len;
    /* Half of the buffer is worth a packet; a guest in need asks before. */
    if (connection->forwarded_count - connection->told_count >= VSOCK_BUFFER_LEN / 2) {
        connection->wants |= VSOCK_WANT_CREDIT_UPDATE;
    }
}

/* The next bytes in one piece: `*len` of them, which are fewer where a stream's ring wraps. */
static const uint8_t *outgoing_piece(struct vsock_connection *connection, uint32_t *len)
{
    uint32_t off = connection->forwarded_count % VSOCK_BUFFER_LEN;
    uint32_t first_len = (uint32_t)min_u64(*len, VSOCK_BUFFER_LEN - off);
    if (connection->type == VIRTIO_VSOCK_TYPE_STREAM || first_len == *len) {
        *len = first_len;
        return connection->outgoing + off;
    }
    memcpy(connection->message, connection->outgoing + off, first_len);
    memcpy(connection->message + first_len, connection->outgoing, *len - first_len);
    return connection->message;
}

static bool outgoing_move(struct vsock_connection *connection)
{
    uint32_t len = outgoing_next_len(connection);
    if (len == 0) {
        return false;
    }
    const uint8_t *piece = outgoing_piece(connection, &len);
    ssize_t sent_len = len;
    if (!connection->socket_takes_no_more) {
        sent_len = send(connection->fd, piece, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sent_len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return false;
    }
    if (sent_len < 0) {
        connection->socket_takes_no_more = true;
        sent_len = len;
    }
    outgoing_advance(connection, (uint32_t)sent_len);
    return true;
}

/* The client's first words. Anything but them closes the connection. */
static void greeting_take(struct vsock_connection *connection)
{
    static const char verb[] = "CONNECT ";
    size_t verb_len = sizeof(verb) - 1;
    char *line = connection->greeting;
    uint32_t line_len = connection->greeting_len;
    uint64_t port;
    bool is_whole = line_len > 0 && line[line_len - 1] == '\n';
    line[is_whole ? line_len - 1 : line_len] = '\0';
    if (is_whole && strlen(line) == line_len - 1 && strncmp(line, verb, verb_len) == 0 &&
        number_parse(line + verb_len, &port) && port <= UINT32_MAX) {
        connection->guest_port = (uint32_t)port;
        connection->state = VSOCK_REQUESTED;
        connection->wants |= VSOCK_WANT_REQUEST;
    } else {
        connection->client_failure = "the client does not say CONNECT and a port";
        socket_close(connection);
    }
}

/* Byte by byte: what follows the line is for the guest. A message is the line. */
static bool greeting_move(struct vsock_connection *connection)
{
    uint32_t room = (uint32_t)sizeof(connection->greeting) - 1 - connection->greeting_len;
    struct iovec iov = {connection->greeting + connection->greeting_len,
                        connection->type == VIRTIO_VSOCK_TYPE_STREAM ? 1 : room};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t len = recvmsg(connection->fd, &message, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return false;
    }
    connection->greeting_len += len > 0 ? (uint32_t)len : 0;
    if (len <= 0 || connection->greeting[connection->greeting_len - 1] == '\n' ||
        connection->greeting_len == sizeof(connection->greeting) - 1) {
        greeting_take(connection);
    }
    return true;
}

static bool incoming_move(struct vsock_connection *connection)
{
    if (connection->incoming_len > 0 || connection->socket_has_ended || connection->guest_receives_no_more) {
        return false;
    }
    struct iovec iov = {connection->incoming, VSOCK_INCOMING_LEN};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t len = recvmsg(connection->fd, &message, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return false;
    }
    /* A message that was cut is as bad as none. */
    if (len <= 0 || (message.msg_flags & MSG_TRUNC) != 0) {
        connection->socket_has_ended = true;
        connection->wants |= VSOCK_WANT_SHUTDOWN;
        return true;
    }
    connection->incoming_off = 0;
    connection->incoming_len = (uint32_t)len;
    return true;
}

/* The guest has said that it sends no more, and the socket has all of it. True when something ended just now. */
static bool end_move(struct vsock_connection *connection)
{
    if (!connection->guest_sends_no_more || outgoing_next_len(connection) > 0) {
        return false;
    }
    if (connection->guest_receives_no_more) {
        connection->wants = VSOCK_WANT_RST; /* the end of an orderly shutdown (5.10.6.5) */
        socket_close(connection);
        return true;
    }
    if (!connection->socket_takes_no_more) {
        connection->socket_takes_no_more = true;
        shutdown(connection->fd, SHUT_WR);
        return true;
    }
    return false;
}

bool vsock_connection_move(struct vsock_connection *connection)
{
    if (connection->state == VSOCK_GREETING) {
        return greeting_move(connection);
    }
    if (connection->state != VSOCK_ESTABLISHED) {
        return false;
    }
    bool has_moved = outgoing_move(connection);
    has_moved |= incoming_move(connection);
    has_moved |= end_move(connection);
    return has_moved;
}

uint32_t vsock_connection_ready(const struct vsock_connection *connection)
{
    uint32_t in_flight = in_flight_len(connection);
    if (connection->state != VSOCK_ESTABLISHED || connection->guest_receives_no_more ||
        connection->guest_buf_alloc <= in_flight) {
        return 0;
    }
    return (uint32_t)min_u64(connection->incoming_len, connection->guest_buf_alloc - in_flight);
}

/* In the order in which they make sense. */
static uint16_t want_take(struct vsock_connection *connection)
{
    static const struct {
        uint32_t want;
        uint16_t op;
    } ops[] = {
        {VSOCK_WANT_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
        {VSOCK_WANT_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE},
        {VSOCK_WANT_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE},
        {VSOCK_WANT_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN},
        {VSOCK_WANT_RST, VIRTIO_VSOCK_OP_RST},
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(ops); i++) {
        if ((connection->wants & ops[i].want) != 0) {
            connection->wants &= ~ops[i].want;
            return ops[i].op;
        }
    }
    return 0;
}

bool vsock_connection_next(struct vsock_connection *connection, uint32_t room, struct virtio_vsock_header *ret_header,
                           const uint8_t **ret_data)
{
    struct virtio_vsock_header header = {
        .src_cid = VIRTIO_VSOCK_CID_HOST,
        .dst_cid = VSOCK_GUEST_CID,
        .src_port = connection->host_port,
        .dst_port = connection->guest_port,
        .type = (uint16_t)connection->type,
        .op = want_take(connection),
        .buf_alloc = VSOCK_BUFFER_LEN,
        .fwd_cnt = connection->forwarded_count,
    };
    if (header.op == 0) {
        header.op = VIRTIO_VSOCK_OP_RW;
        header.len = (uint32_t)min_u64(vsock_connection_ready(connection), room);
        if (header.len == 0) {
            return false;
        }
        *ret_data = connection->incoming + connection->incoming_off;
        connection->incoming_off += header.len;
        connection->incoming_len -= header.len;
        connection->sent_count += header.len;
        header.flags =
            connection->type == VIRTIO_VSOCK_TYPE_SEQPACKET && connection->incoming_len == 0 ? VIRTIO_VSOCK_SEQ_EOM : 0;
    } else if (header.op == VIRTIO_VSOCK_OP_SHUTDOWN) {
        header.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
    }
    connection->told_count = connection->forwarded_count;
    *ret_header = header;
    return true;
}
