/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/control_port.h"

#include <string.h>

#include "abi/ports.h"

/* Control ports take one 4-byte write at a time, and nothing else. */
static bool value_take(const struct bus_access *access, uint32_t *ret_value, struct error *error)
{
    if (!access->is_write || access->width != sizeof(*ret_value) || access->count != 1) {
        return error_set(error, ERROR_GUEST, NULL, "the guest used a control port other than by a 4-byte write");
    }
    memcpy(ret_value, access->data, sizeof(*ret_value));
    return true;
}

static bool wait_access(void *device, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct control_ports *ports = device;
    struct machine *machine = ports->machine;
    uint32_t mask;
    RETURN_IF_FAILED(value_take(access, &mask, error));
    if (mask == 0 || (mask & ~WAIT_EVENTS) != 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest waits for unknown events (mask 0x%x)", mask);
    }
    struct machine_vcpu *vcpu = &machine->vcpus[access->vcpu];
    vcpu->statistics.waits++;
    if ((mask & WAIT_INPUT) != 0 && ports->before_input != NULL) {
        ports->before_input(ports->context);
    }
    vcpu_events_wait(&vcpu->events, mask);
    return true;
}

static bool wake_access(void *device, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct machine *machine = ((struct control_ports *)device)->machine;
    uint32_t vcpu;
    RETURN_IF_FAILED(value_take(access, &vcpu, error));
    if (vcpu >= machine->vcpu_count) {
        return error_set(error, ERROR_GUEST, NULL, "the guest wakes vCPU %u, which does not exist", vcpu);
    }
    vcpu_events_signal(&machine->vcpus[vcpu].events, WAIT_WAKE);
    return true;
}

static bool exit_access(void *device, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct control_ports *ports = device;
    uint32_t code;
    RETURN_IF_FAILED(value_take(access, &code, error));
    if (code != EXIT_FINISHED) {
        char reason[DEBUG_LINE_MAX + 1];
        debug_port_last_line(ports->debug_port, reason);
        return error_set(error, ERROR_GUEST, NULL, "the guest program gave up: %.200s",
                         reason[0] != '\0' ? reason : "it does not say why");
    }
    machine_end(ports->machine, NULL);
    return true;
}

void control_ports_init(struct control_ports *ports)
{
    struct machine *machine = ports->machine;
    bus_add(&machine->ports, PORT_WAIT, sizeof(uint32_t), wait_access, ports);
    bus_add(&machine->ports, PORT_WAKE, sizeof(uint32_t), wake_access, ports);
    bus_add(&machine->ports, PORT_EXIT, sizeof(uint32_t), exit_access, ports);
}
