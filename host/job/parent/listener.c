/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

/* The client, and no queue behind it. */
#define BACKLOG 1

bool listener_open(struct listener *ret_listener, const char *path, struct error *error)
{
    *ret_listener = (struct listener){.fd = -1};
    if (path == NULL) {
        return true;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return error_set(error, ERROR_USAGE, path, "the socket's name is too long");
    }
    text_copy(address.sun_path, sizeof(address.sun_path), path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        error_fill(error, ERROR_IO, path, "cannot make a socket: %s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    *ret_listener = (struct listener){.path = path, .fd = fd}; /* at once: who opens it may be ended at any time */
    if (listen(fd, BACKLOG) != 0) {
        error_fill(error, ERROR_HOST, path, "cannot listen: %s", strerror(errno));
        listener_remove(ret_listener);
        return false;
    }
    return true;
}

void listener_close(struct listener *listener)
{
    if (listener->fd >= 0) {
        close(listener->fd);
        listener->fd = -1;
    }
}

void listener_remove(struct listener *listener)
{
    listener_close(listener);
    if (listener->path != NULL) {
        unlink(listener->path);
        listener->path = NULL;
    }
}
