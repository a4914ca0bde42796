/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-fs (VIRTIO 1.2, section 5.11): FUSE messages (abi/fuse.h) on virtqueues. */
#ifndef INSTAR_ABI_VIRTIO_FS_H
#define INSTAR_ABI_VIRTIO_FS_H

#include <stdint.h>

#define VIRTIO_DEVICE_ID_FS 26u

/* Queue 0 is for messages that must not wait behind others (5.11.2); there is one request queue. */
#define VIRTIO_FS_QUEUE_URGENT 0u
#define VIRTIO_FS_QUEUE_REQUESTS 1u
#define VIRTIO_FS_QUEUE_COUNT 2u

#define VIRTIO_FS_TAG_LEN 36u

struct virtio_fs_config {
    char tag[VIRTIO_FS_TAG_LEN]; /* the file system's name, zeros behind it */
    uint32_t num_request_queues;
};

_Static_assert(sizeof(struct virtio_fs_config) == 40, "the configuration of section 5.11.4");

#endif
