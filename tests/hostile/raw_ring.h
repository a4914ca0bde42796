/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue without a driver: the caller may put any bytes into any part of it, and may do the steps of a
 * device's initialization (VIRTIO 1.2, section 3.1.1) in any order.
 *
 * Nothing here checks what the caller asks for; that is the point.
 */
#ifndef INSTAR_TESTS_HOSTILE_RAW_RING_H
#define INSTAR_TESTS_HOSTILE_RAW_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/virtio_blk.h"
#include "abi/virtio_mmio.h"
#include "abi/virtio_ring.h"
#include "guest/runtime/runtime.h"

enum raw_device {
    RAW_INPUT,
    RAW_OUTPUT,
};

#define RAW_RING_SIZE 256u

struct raw_ring {
    uint64_t registers_gpa;
    uint32_t index; /* of the queue */
    uint32_t size;  /* as written to the device: the memory is for RAW_RING_SIZE, and stays so when this is changed */
    uint64_t desc_gpa;
    uint64_t avail_gpa;
    uint64_t used_gpa;
    volatile struct virtq_desc *desc;
    volatile struct virtq_avail *avail;
    volatile struct virtq_used *used;
    uint16_t taken_idx; /* used entries that raw_ring_wait has returned */
};

/* What a request consists of besides its data. The device reads the first two and writes the third. */
struct raw_request {
    volatile struct virtio_blk_request_header header;
    volatile struct virtio_blk_range range;
    volatile uint8_t status;
};

/* Registers. */
uint64_t raw_registers(const struct runtime *runtime, enum raw_device device);
uint32_t raw_load(uint64_t registers_gpa, uint32_t off);
void raw_store(uint64_t registers_gpa, uint32_t off, uint32_t value);

/* Everything that the device offers. */
uint64_t raw_features(uint64_t registers_gpa);
/* Resets the device and goes as far as FEATURES_OK; returns whether the device accepts the features. */
bool raw_negotiate(uint64_t registers_gpa, uint64_t features);
/* DRIVER_OK. */
void raw_start(uint64_t registers_gpa);

/* Zeroed memory that devices may reach, a page at least; panics when there is none left. */
void *raw_memory(struct runtime *runtime, uint64_t len);

/* Memory for a queue; the device does not know of it. */
void raw_ring_init(struct raw_ring *ring, struct runtime *runtime, enum raw_device device, uint32_t index);
/* Tells the device where the queue is. */
void raw_ring_place(const struct raw_ring *ring);
/* raw_ring_place, and QUEUE_READY. */
void raw_ring_enable(const struct raw_ring *ring);
/* All of the above on queue 0, with all features but EVENT_IDX. */
void raw_ring_open(struct raw_ring *ring, struct runtime *runtime, enum raw_device device);

/* Of the ring's device, in 512-byte sectors; no test image has 2^32 of them. */
uint32_t raw_capacity_sectors(const struct raw_ring *ring);

void raw_desc_set(volatile struct virtq_desc *desc, const volatile void *memory, uint32_t len, uint16_t flags,
                  uint16_t next);
/* Puts a chain into the available ring, and moves the index. */
void raw_ring_offer(struct raw_ring *ring, uint16_t head);
void raw_ring_kick(const struct raw_ring *ring);
/* Waits for the next used entry. */
struct virtq_used_elem raw_ring_wait(struct raw_ring *ring);
/* The three above. */
struct virtq_used_elem raw_ring_run(struct raw_ring *ring, uint16_t head);

struct raw_request *raw_request_make(struct runtime *runtime, uint32_t type, uint64_t sector);
/* A direct chain from descriptor 0 on: header, data (none when `len` is 0), status. */
void raw_request_lay(struct raw_ring *ring, struct raw_request *request, const volatile void *data, uint32_t len,
                     bool device_writes);
/* Lays it, runs it and returns its status. */
uint8_t raw_request_run(struct raw_ring *ring, struct raw_request *request, const volatile void *data, uint32_t len,
                        bool device_writes);

/* A sound read of the input's first sector, as descriptors 0 (header), 1 (data), 2 (status): to be spoilt. */
struct raw_request *raw_read_lay(struct raw_ring *ring, struct runtime *runtime);

#endif
