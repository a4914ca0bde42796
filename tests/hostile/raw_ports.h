/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console with ports (abi/transports/console.h) on rings without a driver; nothing is checked. */
#ifndef INSTAR_TESTS_HOSTILE_RAW_PORTS_H
#define INSTAR_TESTS_HOSTILE_RAW_PORTS_H

#include "abi/transports/console.h"
#include "abi/virtio_console.h"
#include "tests/hostile/attack.h"
#include "tests/hostile/raw_ring.h"

struct raw_ports {
    struct raw_ring rings[CONSOLE_QUEUE_COUNT];
    uint8_t *memory; /* two pages of zeros: to send, and to receive */
};

/* DRIVER_OK; nothing more was said. */
void raw_ports_init(struct raw_ports *ports, struct runtime *runtime);
/* DEVICE_READY, and PORT_READY and PORT_OPEN for each port. The host's messages have no buffers to go to. */
void raw_ports_open(struct raw_ports *ports, struct runtime *runtime);

/* Puts a buffer into a queue and kicks; its content is what memory has. Waits until it was used. */
void raw_ports_run(struct raw_ports *ports, uint32_t queue, uint32_t len, uint16_t flags);
/* Says something about a port, and waits until it was heard. */
void raw_ports_say(struct raw_ports *ports, uint32_t id, uint16_t event, uint16_t value);

#endif
