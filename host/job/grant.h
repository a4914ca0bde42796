/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A grant: the parent's answer when the guest asks for a file that an image names, sent to the child through a
 * socket pair, with the open file, to read, when the policy allowed it. The child cannot open anything itself.
 */
#ifndef INSTAR_HOST_JOB_GRANT_H
#define INSTAR_HOST_JOB_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct grant {
    uint32_t is_granted; /* with a file, for the next device, unless: */
    uint32_t has_device; /* `device` has the file already */
    uint32_t device;
    uint64_t file_len;          /* bytes */
    uint64_t allocated_len;     /* bytes of storage */
    char path[ERROR_PLACE_LEN]; /* for messages, cut when longer */
    uint32_t error_kind;        /* when not granted; why in words is not the guest's business */
};

/* Both ends of the socket pair: [0] the parent's, [1] the child's. */
bool grant_sockets_make(int ret_sockets[2], struct error *error);

/*
 * Sends a grant, with `file_fd` when it grants a file (otherwise -1); never waits: fails with ERROR_GUEST when answers
 * pile up, as a guest is asking without listening.
 */
bool grant_send(int socket_fd, const struct grant *grant, int file_fd, struct error *error);

/* Receives a grant that is there; *ret_file_fd is -1 when it is none. */
bool grant_receive(int socket_fd, struct grant *ret_grant, int *ret_file_fd, struct error *error);

#endif
