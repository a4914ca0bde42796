/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bus leads an access by the guest to the device that owns the address. A machine has two: ports, and
 * memory-mapped registers. Filled before the start, read-only after it.
 */
#ifndef INSTAR_HOST_VMM_BUS_H
#define INSTAR_HOST_VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct bus_access {
    bool is_write;
    uint64_t address; /* port or guest-physical address */
    uint32_t width;   /* bytes of one item: 1, 2, 4 or 8 */
    uint32_t count;   /* items, all to the same address; more than one for string instructions */
    uint8_t *data;    /* width * count bytes, host memory; filled for a read */
    unsigned int vcpu;
};

/*
 * A device's answer to an access in its range, `off` bytes from the range's start. Called on the thread of
 * the vCPU, or on any thread for writes that the kernel coalesced: devices lock for themselves. Returning false
 * ends the machine with *error.
 */
typedef bool (*bus_handler)(void *device, uint64_t off, const struct bus_access *access, struct error *error);

/* A few ports, or the registers of all devices. */
#define BUS_RANGE_MAX 16u

struct bus_range {
    uint64_t start;
    uint64_t len;
    bus_handler handler;
    void *device;
};

struct bus {
    const char *noun; /* "port" or "address", for error messages */
    unsigned int range_count;
    struct bus_range ranges[BUS_RANGE_MAX];
};

/* The range must not overlap another one of this bus. */
void bus_add(struct bus *bus, uint64_t start, uint64_t len, bus_handler handler, void *device);

/* An access that no device claims whole is an error: a guest has no reason to try. */
bool bus_dispatch(const struct bus *bus, const struct bus_access *access, struct error *error);

/* That error, for a device of which only parts are there. Returns false. */
bool bus_refuse(const struct bus *bus, const struct bus_access *access, struct error *error);

#endif
