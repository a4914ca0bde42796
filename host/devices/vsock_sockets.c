/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vsock_sockets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool failed(const char *what, const struct sockaddr_un *address, struct error *error)
{
    return error_set(error, ERROR_HOST, address->sun_path, "cannot %s: %s", what, strerror(errno));
}

/* One connection at `address`: the end that listened, and the one that connected. */
static bool pair_connect(int type, const struct sockaddr_un *address, int *ret_listening_fd, int *ret_connecting_fd,
                         struct error *error)
{
    const struct sockaddr *name = (const struct sockaddr *)address;
    int listener_fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    int connecting_fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int listening_fd = -1;
    bool is_named = listener_fd >= 0 && bind(listener_fd, name, sizeof(*address)) == 0;
    /* A listener with room in its queue is connected to at once, and then has somebody to accept. */
    if (!is_named || connecting_fd < 0 || listen(listener_fd, 1) != 0) {
        failed("make a socket", address, error);
    } else if (connect(connecting_fd, name, sizeof(*address)) != 0) {
        failed("connect", address, error);
    } else {
        listening_fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (listening_fd < 0) {
            failed("accept a connection", address, error);
        }
    }
    if (is_named) {
        unlink(address->sun_path);
    }
    if (listener_fd >= 0) {
        close(listener_fd);
    }
    if (listening_fd < 0 && connecting_fd >= 0) {
        close(connecting_fd);
    }
    if (listening_fd < 0) {
        return false;
    }
    *ret_listening_fd = listening_fd;
    *ret_connecting_fd = connecting_fd;
    return true;
}

bool vsock_sockets_connect(int type, uint32_t port, struct vsock_socket_pair *ret_client,
                           struct vsock_socket_pair *ret_listener, struct error *error)
{
    char directory[] = "/tmp/instar-XXXXXX"; /* short: a socket's name has 107 bytes */
    if (mkdtemp(directory) == NULL) {
        return error_set(error, ERROR_HOST, "/tmp", "cannot make a directory for sockets: %s", strerror(errno));
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct vsock_socket_pair client;
    struct vsock_socket_pair listener;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/vsock", directory);
    bool is_connected = pair_connect(type, &address, &client.device_fd, &client.user_fd, error);
    if (is_connected) {
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/vsock_%" PRIu32, directory, port);
        is_connected = pair_connect(type, &address, &listener.user_fd, &listener.device_fd, error);
        if (is_connected) {
            *ret_client = client;
            *ret_listener = listener;
        } else {
            vsock_socket_pair_close(&client);
        }
    }
    rmdir(directory);
    return is_connected;
}

static bool service_connect(const char *path, uint32_t port, int *ret_fd, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path, sizeof(address.sun_path), "%s_%" PRIu32, path, port);
    if (len < 0 || (size_t)len >= sizeof(address.sun_path)) {
        return error_set(error, ERROR_USAGE, path, "the socket's name is too long");
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        failed("connect", &address, error);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    *ret_fd = fd;
    return true;
}

bool vsock_sockets_await(const char *path, uint32_t port, int listener_fd, int *ret_client_fd, int *ret_service_fd,
                         struct error *error)
{
    int service_fd;
    int client_fd = -1;
    if (service_connect(path, port, &service_fd, error)) {
        do { /* ends: whoever is to connect does, or the parent ends this process */
            client_fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        } while (client_fd < 0 && (errno == EINTR || errno == ECONNABORTED));
        if (client_fd < 0) {
            error_fill(error, ERROR_HOST, path, "cannot accept a connection: %s", strerror(errno));
            close(service_fd);
        }
    }
    close(listener_fd);
    if (client_fd < 0) {
        return false;
    }
    *ret_client_fd = client_fd;
    *ret_service_fd = service_fd;
    return true;
}

void vsock_socket_pair_close(struct vsock_socket_pair *pair)
{
    close(pair->device_fd);
    close(pair->user_fd);
}
