/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/devices/passed_descriptor.h"
#include "host/devices/vhost_user_protocol.h"

/* The longest payload, either way. */
#define PAYLOAD_LEN_MAX (sizeof(struct vhost_user_config) + VHOST_USER_CONFIG_LEN_MAX)
/* The first byte of an acknowledgement that says nothing else. */
#define ACKNOWLEDGED 0u

/* A message as it goes over the socket. */
struct message {
    struct vhost_user_header header;
    uint8_t payload[PAYLOAD_LEN_MAX];
};

static bool failed(const struct vhost_user *daemon, const char *what, struct error *error)
{
    return error_set(error, ERROR_IO, daemon->path, "the daemon %s", what);
}

/* Whole, or not: the socket's buffer has room for a message, as each one is taken before the next is sent. */
static bool message_send(struct vhost_user *daemon, const struct message *message, int fd, struct error *error)
{
    union passed_descriptor room;
    struct iovec iov = {(void *)(uintptr_t)message, sizeof(message->header) + message->header.len};
    struct msghdr parts = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        passed_descriptor_attach(&parts, &room, fd);
    }
    ssize_t len;
    do {
        len = sendmsg(daemon->fd, &parts, MSG_NOSIGNAL);
    } while (len < 0 && errno == EINTR); /* ends: signals are few */
    if (len < 0) {
        return failed(daemon, errno == EAGAIN ? "does not listen" : "closed the connection", error);
    }
    return (size_t)len == iov.iov_len || failed(daemon, "does not listen", error);
}

/* All of it: the socket's low-water mark makes one call of it, with one time limit. Descriptors are not asked for. */
static bool bytes_receive(struct vhost_user *daemon, void *bytes, size_t len, struct error *error)
{
    ssize_t received_len;
    do {
        received_len = read(daemon->fd, bytes, len);
    } while (received_len < 0 && errno == EINTR);
    if (received_len == (ssize_t)len) {
        return true;
    }
    if (received_len > 0) {
        return failed(daemon, "does not answer in full", error);
    }
    bool is_late = received_len < 0 && errno == EAGAIN;
    return failed(daemon, is_late ? "does not answer" : "closed the connection", error);
}

/* The answer to `request`, with a payload of exactly `len` bytes. */
static bool answer_receive(struct vhost_user *daemon, enum vhost_user_request request, void *ret_payload, uint32_t len,
                           struct error *error)
{
    struct vhost_user_header header;
    RETURN_IF_FAILED(bytes_receive(daemon, &header, sizeof(header), error));
    if (header.request != (uint32_t)request || (header.flags & VHOST_USER_FLAG_REPLY) == 0 ||
        (header.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION || header.len != len) {
        return error_set(error, ERROR_IO, daemon->path,
                         "the daemon answers request %d by request %" PRIu32 ", flags 0x%" PRIx32 " and %" PRIu32
                         " bytes",
                         (int)request, header.request, header.flags, header.len);
    }
    return bytes_receive(daemon, ret_payload, len, error);
}

static struct message message_make(enum vhost_user_request request, const void *payload, uint32_t len)
{
    struct message message = {.header = {.request = request, .flags = VHOST_USER_VERSION, .len = len}};
    assert(len <= sizeof(message.payload));
    memcpy(message.payload, payload, len);
    return message;
}

/* For requests without an answer of their own. `fd` goes with it, when it is not -1. */
static bool tell(struct vhost_user *daemon, enum vhost_user_request request, const void *payload, uint32_t len, int fd,
                 struct error *error)
{
    struct message message = message_make(request, payload, len);
    message.header.flags |= daemon->acknowledges ? VHOST_USER_FLAG_NEED_REPLY : 0;
    RETURN_IF_FAILED(message_send(daemon, &message, fd, error));
    if (!daemon->acknowledges) {
        return true;
    }
    uint64_t result;
    RETURN_IF_FAILED(answer_receive(daemon, request, &result, sizeof(result), error));
    return result == ACKNOWLEDGED ||
           error_set(error, ERROR_IO, daemon->path, "the daemon fails to do request %d", (int)request);
}

static bool number_tell(struct vhost_user *daemon, enum vhost_user_request request, uint64_t number, int fd,
                        struct error *error)
{
    return tell(daemon, request, &number, sizeof(number), fd, error);
}

static bool number_ask(struct vhost_user *daemon, enum vhost_user_request request, uint64_t *ret_number,
                       struct error *error)
{
    struct message message = message_make(request, "", 0);
    return message_send(daemon, &message, -1, error) &&
           answer_receive(daemon, request, ret_number, sizeof(*ret_number), error);
}

static bool socket_connect(struct vhost_user *daemon, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t path_len = strlen(daemon->path);
    if (path_len == 0 || path_len >= sizeof(address.sun_path)) {
        return error_set(error, ERROR_USAGE, daemon->path, "a socket's path has 1 to %zu bytes",
                         sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, daemon->path, path_len);
    daemon->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = VHOST_USER_PATIENCE_S};
    int low_water = sizeof(struct message); /* unix(7) reads wait for so many bytes, or all that are wanted */
    if (daemon->fd < 0 || setsockopt(daemon->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        setsockopt(daemon->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        setsockopt(daemon->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof(low_water)) != 0) {
        return error_set(error, ERROR_HOST, daemon->path, "cannot make a socket: %s", strerror(errno));
    }
    if (connect(daemon->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return error_set(error, ERROR_IO, daemon->path, "cannot connect: %s",
                         errno == EAGAIN ? "the daemon does not listen" : strerror(errno));
    }
    return true;
}

static bool protocol_agree(struct vhost_user *daemon, uint64_t needed, struct error *error)
{
    uint64_t offered;
    RETURN_IF_FAILED(number_ask(daemon, VHOST_USER_GET_FEATURES, &daemon->features, error));
    if ((daemon->features & VHOST_USER_F_PROTOCOL_FEATURES) == 0) {
        return failed(daemon, "has no protocol features", error);
    }
    RETURN_IF_FAILED(number_ask(daemon, VHOST_USER_GET_PROTOCOL_FEATURES, &offered, error));
    if ((needed & ~offered) != 0) {
        return error_set(error, ERROR_IO, daemon->path, "the daemon lacks the protocol features 0x%" PRIx64,
                         needed & ~offered);
    }
    uint64_t agreed = offered & (needed | VHOST_USER_PROTOCOL_F_REPLY_ACK);
    RETURN_IF_FAILED(number_tell(daemon, VHOST_USER_SET_PROTOCOL_FEATURES, agreed, -1, error));
    daemon->acknowledges = (agreed & VHOST_USER_PROTOCOL_F_REPLY_ACK) != 0;
    return tell(daemon, VHOST_USER_SET_OWNER, "", 0, -1, error);
}

/* The jail knows connections by their numbers. */
static bool socket_renumber(struct vhost_user *daemon, int fd, struct error *error)
{
    int first_fd = daemon->fd;
    daemon->fd = fcntl(first_fd, F_DUPFD_CLOEXEC, fd);
    close(first_fd);
    return daemon->fd == fd || error_set(error, ERROR_HOST, daemon->path, "cannot number a descriptor: %s",
                                         daemon->fd < 0 ? strerror(errno) : "the number is taken");
}

bool vhost_user_connect(struct vhost_user *daemon, const char *path, int fd, uint64_t needed, struct error *error)
{
    *daemon = (struct vhost_user){.path = path, .fd = -1};
    if (socket_connect(daemon, error) && socket_renumber(daemon, fd, error) && protocol_agree(daemon, needed, error)) {
        return true;
    }
    vhost_user_close(daemon);
    return false;
}

void vhost_user_close(struct vhost_user *daemon)
{
    if (daemon->path != NULL && daemon->fd >= 0) {
        close(daemon->fd);
        daemon->fd = -1;
    }
}

bool vhost_user_config_get(struct vhost_user *daemon, void *ret_config, uint32_t len, struct error *error)
{
    struct vhost_user_config head = {.len = len};
    uint8_t payload[PAYLOAD_LEN_MAX] = {0};
    uint32_t payload_len = (uint32_t)sizeof(head) + len;
    memcpy(payload, &head, sizeof(head));
    struct message message = message_make(VHOST_USER_GET_CONFIG, payload, payload_len);
    RETURN_IF_FAILED(message_send(daemon, &message, -1, error));
    RETURN_IF_FAILED(answer_receive(daemon, VHOST_USER_GET_CONFIG, payload, payload_len, error));
    memcpy(&head, payload, sizeof(head));
    if (head.off != 0 || head.len != len) {
        return error_set(error, ERROR_IO, daemon->path,
                         "the daemon gives %" PRIu32 " bytes at offset %" PRIu32 " of its configuration", head.len,
                         head.off);
    }
    memcpy(ret_config, payload + sizeof(head), len);
    return true;
}

/*
 * The user address of a byte is its guest-physical one, in rings, too: the daemon has no use for addresses of this
 * process, and would learn from them where it has what.
 */
bool vhost_user_memory_share(struct vhost_user *daemon, const struct guest_memory *memory, struct error *error)
{
    struct vhost_user_memory table = {
        .region_count = 1,
        .gpa = LAYOUT_DATA_GPA,
        .len = memory->data_len,
        .user_address = LAYOUT_DATA_GPA,
        .file_off = memory->shared_data_off,
    };
    assert(memory->shared_fd >= 0);
    return tell(daemon, VHOST_USER_SET_MEM_TABLE, &table, sizeof(table), memory->shared_fd, error);
}

/* With the protocol's own bit, so that rings wait until they are enabled. */
bool vhost_user_features_set(struct vhost_user *daemon, uint64_t features, struct error *error)
{
    return number_tell(daemon, VHOST_USER_SET_FEATURES, features | VHOST_USER_F_PROTOCOL_FEATURES, -1, error);
}

static bool ring_state_tell(struct vhost_user *daemon, enum vhost_user_request request, uint32_t index, uint32_t value,
                            struct error *error)
{
    struct vhost_user_ring_state state = {index, value};
    return tell(daemon, request, &state, sizeof(state), -1, error);
}

bool vhost_user_ring_start(struct vhost_user *daemon, const struct vhost_user_ring *ring, struct error *error)
{
    struct vhost_user_ring_addresses addresses = {
        .index = ring->index,
        .descriptors = ring->desc_gpa,
        .used = ring->used_gpa,
        .available = ring->avail_gpa,
    };
    assert(ring->index <= VHOST_USER_RING_INDEX_MAX);
    return ring_state_tell(daemon, VHOST_USER_SET_VRING_NUM, ring->index, ring->size, error) &&
           ring_state_tell(daemon, VHOST_USER_SET_VRING_BASE, ring->index, 0, error) &&
           tell(daemon, VHOST_USER_SET_VRING_ADDR, &addresses, sizeof(addresses), -1, error) &&
           number_tell(daemon, VHOST_USER_SET_VRING_CALL, ring->index, ring->call_fd, error) &&
           number_tell(daemon, VHOST_USER_SET_VRING_KICK, ring->index, ring->kick_fd, error) &&
           ring_state_tell(daemon, VHOST_USER_SET_VRING_ENABLE, ring->index, 1, error);
}

/* Where the ring stands does not matter: it begins anew. */
bool vhost_user_ring_stop(struct vhost_user *daemon, uint32_t index, struct error *error)
{
    struct vhost_user_ring_state state = {.index = index};
    struct message message = message_make(VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
    RETURN_IF_FAILED(message_send(daemon, &message, -1, error));
    RETURN_IF_FAILED(answer_receive(daemon, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), error));
    return state.index == index || failed(daemon, "stops another ring than it was told", error);
}

bool vhost_user_has_failed(struct vhost_user *daemon, struct error *error)
{
    struct pollfd ready = {.fd = daemon->fd, .events = POLLIN};
    struct timespec no_time = {0};
    if (daemon->fd < 0 || ppoll(&ready, 1, &no_time, NULL) <= 0) {
        return false;
    }
    bool has_ended = (ready.revents & (POLLHUP | POLLERR)) != 0;
    failed(daemon, has_ended ? "closed the connection" : "speaks without being asked", error);
    return true;
}
