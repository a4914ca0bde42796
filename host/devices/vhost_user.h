/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a daemon that has a device of ours (vhost-user, vhost_user_protocol.h): what the VMM says to it, and
 * what it answers.
 *
 * The daemon is trusted no more than the guest. It can read and write data memory, and nothing else of the VMM's: it
 * gets no other memory, and no address of this process. Answers are read into buffers of known length and compared with
 * what was asked; descriptors that come with them are dropped by the kernel; who does not answer within
 * VHOST_USER_PATIENCE_S has failed. A daemon that leaves requests of the guest alone makes the job wait, as a disk does
 * that hangs: --max-time ends it.
 *
 * Not thread-safe. Errors are placed at the socket's path.
 */
#ifndef INSTAR_HOST_DEVICES_VHOST_USER_H
#define INSTAR_HOST_DEVICES_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/vmm/guest_memory.h"

/* Of each of the two parts of an answer. */
#define VHOST_USER_PATIENCE_S 5

struct vhost_user {
    const char *path;  /* of the socket; the caller's */
    int fd;            /* -1: closed */
    uint64_t features; /* that the daemon's device has: virtio's, and VHOST_USER_F_PROTOCOL_FEATURES */
    bool acknowledges; /* the daemon answers what has no answer of its own */
};

/* Guest-physical addresses in data memory, checked. */
struct vhost_user_ring {
    uint32_t index;
    uint32_t size; /* descriptors */
    uint64_t desc_gpa;
    uint64_t avail_gpa;
    uint64_t used_gpa;
    int kick_fd; /* eventfds */
    int call_fd;
};

/*
 * Connects, by a descriptor with the number `fd`, which is free; and agrees on features of the protocol: those of
 * `needed` (VHOST_USER_PROTOCOL_F_*), and acknowledgement where the daemon has it. On failure nothing is left.
 */
bool vhost_user_connect(struct vhost_user *daemon, const char *path, int fd, uint64_t needed, struct error *error);
/* Closes the connection; one that is closed, or was never made, stays so. */
void vhost_user_close(struct vhost_user *daemon);

/* The first `len` bytes of the device's configuration, VHOST_USER_CONFIG_LEN_MAX at most. */
bool vhost_user_config_get(struct vhost_user *daemon, void *ret_config, uint32_t len, struct error *error);
/* Gives the daemon data memory, whose file is still open. */
bool vhost_user_memory_share(struct vhost_user *daemon, const struct guest_memory *memory, struct error *error);

/* What the driver has chosen of the device's features. */
bool vhost_user_features_set(struct vhost_user *daemon, uint64_t features, struct error *error);
/* The ring begins at index 0. */
bool vhost_user_ring_start(struct vhost_user *daemon, const struct vhost_user_ring *ring, struct error *error);
/* The daemon touches the ring no more. */
bool vhost_user_ring_stop(struct vhost_user *daemon, uint32_t index, struct error *error);

/*
 * When the socket is readable and no answer is due: whether it still is. Then the daemon has ended, or speaks unasked,
 * and *error says which.
 */
bool vhost_user_has_failed(struct vhost_user *daemon, struct error *error);

#endif
