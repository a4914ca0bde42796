/* SPDX-License-Identifier: Apache-2.0 */
/* The console (abi/virtio_console.h) on a ring without a driver; nothing is checked. */
#ifndef INSTAR_TESTS_HOSTILE_RAW_CONSOLE_H
#define INSTAR_TESTS_HOSTILE_RAW_CONSOLE_H

#include "tests/hostile/raw_ring.h"

struct raw_console {
    struct raw_ring ring; /* of the transmit queue */
    uint8_t *memory;      /* a page */
};

/* Prepares the ring and reaches FEATURES_OK; raw_ring_enable and raw_start are the caller's. */
void raw_console_init(struct raw_console *console, struct runtime *runtime);
/* All of it. */
void raw_console_open(struct raw_console *console, struct runtime *runtime);

/* Transmits bytes, as descriptors of `part_len` bytes, and waits until they were taken. */
void raw_console_send(struct raw_console *console, const void *bytes, uint32_t len, uint32_t part_len);

#endif
