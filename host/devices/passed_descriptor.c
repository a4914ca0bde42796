/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/passed_descriptor.h"

#include <string.h>

void passed_descriptor_attach(struct msghdr *message, union passed_descriptor *room, int fd)
{
    *room = (union passed_descriptor){0};
    message->msg_control = room->room;
    message->msg_controllen = sizeof(room->room);
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
}

int passed_descriptor_take(struct msghdr *message)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    int fd = -1;
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    }
    return fd;
}
