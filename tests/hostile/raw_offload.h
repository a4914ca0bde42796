/* SPDX-License-Identifier: Apache-2.0 */
/* SET_LEN and COPY (abi/virtio_blk.h) on a ring without a driver; nothing is checked. */
#ifndef INSTAR_TESTS_HOSTILE_RAW_OFFLOAD_H
#define INSTAR_TESTS_HOSTILE_RAW_OFFLOAD_H

#include "tests/hostile/raw_ring.h"

struct offload {
    struct raw_ring input;
    struct raw_ring output;
    struct raw_request *request;
    uint8_t *data; /* a page: arguments */
};

/* Brings both disks up. */
void offload_open(struct offload *offload, struct runtime *runtime);

/* These return the status. */
uint8_t offload_set_len(struct offload *offload, uint64_t len);
uint8_t offload_copy(struct offload *offload, const struct virtio_blk_copy *copy);

/* Attacks begin here: the output has `len` bytes. */
void offload_start(struct offload *offload, struct runtime *runtime, uint64_t len);

/* The exact length of a device's file, as its configuration has it. */
uint64_t offload_file_len(const struct raw_ring *ring);

#endif
