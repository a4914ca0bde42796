/* SPDX-License-Identifier: Apache-2.0 */
/* The control ports WAIT, WAKE and EXIT (abi/ports.h). */
#ifndef INSTAR_HOST_DEVICES_CONTROL_PORT_H
#define INSTAR_HOST_DEVICES_CONTROL_PORT_H

#include "host/devices/debug_port.h"
#include "host/vmm/machine.h"

struct control_ports {
    struct machine *machine;
    struct debug_port *debug_port; /* knows why a guest gives up */
    /* Called before a vCPU waits for input: what it sent must be on its way. NULL: no input comes. */
    void (*before_input)(void *context);
    void *context;
};

/* Puts the ports on the machine's bus; the fields are set before. */
void control_ports_init(struct control_ports *ports);

#endif
