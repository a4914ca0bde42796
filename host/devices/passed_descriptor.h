/* SPDX-License-Identifier: Apache-2.0 */
/* A file descriptor that goes with a message on a Unix socket (unix(7), SCM_RIGHTS). */
#ifndef INSTAR_HOST_DEVICES_PASSED_DESCRIPTOR_H
#define INSTAR_HOST_DEVICES_PASSED_DESCRIPTOR_H

#include <sys/socket.h>

/* Room for one descriptor, aligned as the kernel wants it (cmsg(3)). */
union passed_descriptor {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

/* Lets `message` take `fd` along, which stays the caller's. `room` is as long as the message is used. */
void passed_descriptor_attach(struct msghdr *message, union passed_descriptor *room, int fd);

/* The descriptor that came with a message, for which there was room for one; -1: none. */
int passed_descriptor_take(struct msghdr *message);

#endif
