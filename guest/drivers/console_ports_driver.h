/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-console with ports (VIRTIO 1.2, section 5.3), the driver's side. Data is moved from and to the caller's
 * memory; calls wait. Of instar's own device (abi/transports/console.h) it relies on that buffers are filled to their
 * ends.
 */
#ifndef INSTAR_GUEST_DRIVERS_CONSOLE_PORTS_DRIVER_H
#define INSTAR_GUEST_DRIVERS_CONSOLE_PORTS_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/transports/console.h"
#include "abi/virtio_console.h"
#include "base/error.h"
#include "guest/drivers/virtio_mmio_driver.h"
#include "guest/drivers/virtqueue_driver.h"
#include "guest/runtime/arena.h"

struct console_port {
    struct virtqueue receive;
    struct virtqueue transmit;
    bool is_added; /* the host says so, as the others */
    bool is_open;
    bool is_closed; /* it was open */
};

struct console_ports {
    struct virtio_mmio mmio;
    struct virtqueue control_receive;
    struct virtqueue control_transmit;
    struct console_port ports[CONSOLE_PORT_COUNT];
    struct virtio_console_control *control; /* to the host, in the arena */
    uint64_t poll_ticks;
    uint32_t request_len;
};

struct console_ports_setup {
    uint64_t registers_gpa;
    uint64_t poll_ticks;  /* how long to poll before sleeping */
    uint32_t request_len; /* bytes of a buffer */
    uint32_t depth;       /* buffers under way */
    struct arena *rings;
    struct arena *arena;
};

/* Brings the device up and opens all of its ports, when the host has opened them. */
bool console_ports_open(struct console_ports *console, const struct console_ports_setup *setup, struct error *error);

/* All of the bytes, arena memory; fails when the host closes the port before. */
bool console_port_send(struct console_ports *console, uint32_t id, const void *data, uint64_t len, struct error *error);
bool console_port_receive(struct console_ports *console, uint32_t id, void *data, uint64_t len, struct error *error);

#endif
