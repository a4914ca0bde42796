/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user protocol (QEMU's docs/interop/vhost-user.rst): what goes over the socket between a front end, which
 * has the virtual machine, and a back end, which has the device. Native byte order; only what a front end of ours
 * uses.
 */
#ifndef INSTAR_HOST_DEVICES_VHOST_USER_PROTOCOL_H
#define INSTAR_HOST_DEVICES_VHOST_USER_PROTOCOL_H

#include <stdint.h>

/* "Front-end message types" */
enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_GET_CONFIG = 24,
};

/* A feature bit of the device's, which is no feature of virtio. */
#define VHOST_USER_F_PROTOCOL_FEATURES (1ull << 30)

/* "Protocol features" */
#define VHOST_USER_PROTOCOL_F_REPLY_ACK (1ull << 3)
#define VHOST_USER_PROTOCOL_F_CONFIG (1ull << 9)

/* "Header" */
#define VHOST_USER_VERSION 0x1u
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_FLAG_REPLY 0x4u
#define VHOST_USER_FLAG_NEED_REPLY 0x8u

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t len; /* bytes of the payload, which follows */
};

/* Payload of SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE. */
struct vhost_user_ring_state {
    uint32_t index;
    uint32_t value;
};

/* The index of SET_VRING_KICK and SET_VRING_CALL, whose payload is 64 bits wide. */
#define VHOST_USER_RING_INDEX_MAX 0xffu

/* Payload of SET_VRING_ADDR: user addresses, which the memory table translates. */
struct vhost_user_ring_addresses {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptors;
    uint64_t used;
    uint64_t available;
    uint64_t log;
};

/* Payload of SET_MEM_TABLE, for one region; a descriptor of its file comes with it. */
struct vhost_user_memory {
    uint32_t region_count;
    uint32_t padding;
    uint64_t gpa;
    uint64_t len;
    uint64_t user_address;
    uint64_t file_off;
};

/* Payload of GET_CONFIG and of its answer; `len` bytes follow. */
struct vhost_user_config {
    uint32_t off;
    uint32_t len;
    uint32_t flags;
};

/* A configuration has so many bytes at most. */
#define VHOST_USER_CONFIG_LEN_MAX 256u

_Static_assert(sizeof(struct vhost_user_header) == 12 && sizeof(struct vhost_user_ring_state) == 8 &&
                   sizeof(struct vhost_user_ring_addresses) == 40 && sizeof(struct vhost_user_memory) == 40 &&
                   sizeof(struct vhost_user_config) == 12,
               "no padding");

#endif
