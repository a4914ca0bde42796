/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for the guest's code to run on natively: it takes the place of guest/runtime/platform.c and of the
 * panic in runtime.c. Its disks are virtio-mmio block devices in memory. They work when the guest polls or
 * waits, on a random part of what they were given, in random order; only after a notification, where they
 * asked for one; and they signal only when they were asked to. A guest that forgets a notification, or waits
 * for a signal that it did not ask for, fails the test.
 */
#ifndef INSTAR_TESTS_UNIT_TEST_GUEST_MACHINE_H
#define INSTAR_TESTS_UNIT_TEST_GUEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_blk.h"
#include "abi/virtio_mmio.h"
#include "abi/virtio_ring.h"
#include "guest/runtime/arena.h"

#define FAKE_DISKS_MAX 2u
#define FAKE_QUEUE_MAX 256u

#define FAKE_DISK_FEATURES                                                                                             \
    (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | \
     VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES |                   \
     VIRTIO_BLK_F_INSTAR)

struct fake_disk {
    /* The test may change these before the guest opens the disk. */
    uint64_t features;
    struct virtio_blk_config config;
    struct virtio_blk_instar_config instar;
    uint32_t queue_num_max;
    bool refuses_features;
    bool is_ours;  /* has the private registers */
    bool is_late;  /* is kicked at the doorbell */
    uint8_t *data; /* config.capacity sectors */
    const struct virtio_blk_extent *extents;
    uint32_t extent_count; /* 0: all is data */
    uint32_t extents_per_answer;
    uint32_t fail_type; /* a request of this type that touches fail_off fails; VIRTIO_BLK_T_FLUSH at any offset */
    uint64_t fail_off;
    uint8_t fail_status; /* 0: no request fails */

    /* What the guest did. */
    uint64_t requests[16]; /* by type, under 16 */
    uint64_t extent_requests;
    uint64_t read_len;
    uint64_t written_len;
    uint64_t zeroed_len;
    uint64_t longest_len; /* of one read or write */
    uint32_t segments_max;
    uint64_t notifications;
    uint64_t signals;
    uint64_t exits; /* stores, kicks not included */

    /* The device's own. */
    uint64_t registers_gpa;
    uint32_t device_features_sel, driver_features_sel;
    uint64_t driver_features;
    uint32_t status;
    uint32_t queue_num;
    uint64_t queue_gpas[3]; /* descriptors, driver, device */
    bool queue_ready;
    bool is_awake;
    uint16_t avail_idx, used_idx;
    uint16_t pending[FAKE_QUEUE_MAX];
    uint32_t pending_count;
};

/* A machine without disks. `seed` decides what is random. */
void fake_machine_start(uint64_t seed);
/* Frees everything; for the end of a test. */
void fake_machine_stop(void);

/* A disk of `file_len` bytes, all zero, which takes segments of up to 4 MiB, 64 in a request. */
struct fake_disk *fake_machine_add_disk(uint64_t file_len);

/* Data memory; devices refuse all other memory. */
struct arena *fake_machine_arena(void);
struct arena *fake_machine_rings(void);

uint64_t fake_random(void);

/* What was written to a data port since the start. */
const uint8_t *fake_machine_output(uint16_t port, uint64_t *ret_len);
/* What the guest reads from the message port: there when it has waited for it twice, as a wait may end early. */
void fake_machine_set_input(const void *data, uint64_t len);

#endif
