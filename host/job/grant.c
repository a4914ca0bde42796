/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/grant.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/devices/passed_descriptor.h"

bool grant_sockets_make(int ret_sockets[2], struct error *error)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_sockets) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a socket: %s", strerror(errno));
    }
    return true;
}

bool grant_send(int socket_fd, const struct grant *grant, int file_fd, struct error *error)
{
    struct iovec content = {(void *)grant, sizeof(*grant)};
    union passed_descriptor room;
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (file_fd >= 0) {
        passed_descriptor_attach(&message, &room, file_fd);
    }
    if (sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*grant)) {
        return true;
    }
    if (errno == EAGAIN) {
        return error_set(error, ERROR_GUEST, NULL, "the guest asks for files without waiting for answers");
    }
    return error_set(error, ERROR_HOST, NULL, "cannot reach the machine's process: %s", strerror(errno));
}

bool grant_receive(int socket_fd, struct grant *ret_grant, int *ret_file_fd, struct error *error)
{
    struct grant grant;
    struct iovec content = {&grant, sizeof(grant)};
    union passed_descriptor control = {0};
    struct msghdr message = {
        .msg_iov = &content, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
    ssize_t len = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len != (ssize_t)sizeof(grant)) {
        return error_set(error, ERROR_HOST, NULL, "cannot hear the job's process: %s",
                         len < 0 ? strerror(errno) : "short message");
    }
    int fd = passed_descriptor_take(&message);
    if ((grant.is_granted != 0 && grant.has_device == 0) != (fd >= 0)) {
        if (fd >= 0) {
            close(fd);
        }
        return error_set(error, ERROR_HOST, NULL, "the job's process granted a file without one");
    }
    *ret_grant = grant;
    *ret_file_fd = fd;
    return true;
}
