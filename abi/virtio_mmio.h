/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mmio, version 2: register offsets and bits (VIRTIO 1.2, sections 2.1, 4.2.2 and 6).
 */
#ifndef INSTAR_ABI_VIRTIO_MMIO_H
#define INSTAR_ABI_VIRTIO_MMIO_H

#include <stdint.h>

#define VIRTIO_MMIO_MAGIC_VALUE 0x000u
#define VIRTIO_MMIO_VERSION 0x004u
#define VIRTIO_MMIO_DEVICE_ID 0x008u
#define VIRTIO_MMIO_VENDOR_ID 0x00cu
#define VIRTIO_MMIO_DEVICE_FEATURES 0x010u
#define VIRTIO_MMIO_DEVICE_FEATURES_SEL 0x014u
#define VIRTIO_MMIO_DRIVER_FEATURES 0x020u
#define VIRTIO_MMIO_DRIVER_FEATURES_SEL 0x024u
#define VIRTIO_MMIO_QUEUE_SEL 0x030u
#define VIRTIO_MMIO_QUEUE_NUM_MAX 0x034u
#define VIRTIO_MMIO_QUEUE_NUM 0x038u
#define VIRTIO_MMIO_QUEUE_READY 0x044u
#define VIRTIO_MMIO_QUEUE_NOTIFY 0x050u
#define VIRTIO_MMIO_INTERRUPT_STATUS 0x060u
#define VIRTIO_MMIO_INTERRUPT_ACK 0x064u
#define VIRTIO_MMIO_STATUS 0x070u
#define VIRTIO_MMIO_QUEUE_DESC_LOW 0x080u
#define VIRTIO_MMIO_QUEUE_DESC_HIGH 0x084u
#define VIRTIO_MMIO_QUEUE_DRIVER_LOW 0x090u
#define VIRTIO_MMIO_QUEUE_DRIVER_HIGH 0x094u
#define VIRTIO_MMIO_QUEUE_DEVICE_LOW 0x0a0u
#define VIRTIO_MMIO_QUEUE_DEVICE_HIGH 0x0a4u
#define VIRTIO_MMIO_CONFIG_GENERATION 0x0fcu
#define VIRTIO_MMIO_CONFIG 0x100u

/*
 * Private registers at the page's end, where the vendor is ours: a driver that reads and stores these needs one store
 * to start a device. They are there when the device is.
 */
#define VIRTIO_MMIO_INSTAR_FEATURES_LOW 0xfe0u /* what the device offers */
#define VIRTIO_MMIO_INSTAR_FEATURES_HIGH 0xfe4u
#define VIRTIO_MMIO_INSTAR_QUEUE_NUM_MAX 0xfe8u /* of every queue */
/* The address to kick at instead of QUEUE_NOTIFY (abi/layout.h); 0: none. */
#define VIRTIO_MMIO_INSTAR_DOORBELL 0xfecu
/*
 * Stored: where in data memory a struct virtio_mmio_setup lies, in bytes from its start. The device does what it would
 * do for the steps of 3.1.1: reset, features, queues, DRIVER_OK. It reads the struct once.
 */
#define VIRTIO_MMIO_INSTAR_SETUP 0xff0u

#define VIRTIO_MMIO_SETUP_QUEUE_MAX 16u

struct virtio_mmio_setup_queue {
    uint32_t size; /* descriptors; 0: the queue stays disabled */
    uint32_t reserved;
    uint64_t desc_gpa;
    uint64_t driver_gpa;
    uint64_t device_gpa;
};

struct virtio_mmio_setup {
    uint64_t features;    /* that the driver wants */
    uint32_t queue_count; /* of the entries that count */
    uint32_t reserved;
    struct virtio_mmio_setup_queue queues[VIRTIO_MMIO_SETUP_QUEUE_MAX];
};

_Static_assert(sizeof(struct virtio_mmio_setup) == 16 + 32 * VIRTIO_MMIO_SETUP_QUEUE_MAX, "no padding");

#define VIRTIO_MMIO_MAGIC 0x74726976u /* "virt" */
#define VIRTIO_MMIO_VERSION_2 2u
#define VIRTIO_MMIO_VENDOR_INSTAR 0x52534e49u /* "INSR" */

#define VIRTIO_MMIO_INTERRUPT_USED_BUFFER 0x1u
#define VIRTIO_MMIO_INTERRUPT_CONFIG_CHANGE 0x2u

/* Device status (2.1). */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER 0x02u
#define VIRTIO_STATUS_DRIVER_OK 0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED 0x80u

/* Feature bits that do not belong to a device type (6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_DEVICE_ID_BLOCK 2u
#define VIRTIO_DEVICE_ID_CONSOLE 3u
#define VIRTIO_DEVICE_ID_VSOCK 19u

#endif
