/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/bus.h"

#include <assert.h>
#include <inttypes.h>

#include "base/checked.h"

void bus_add(struct bus *bus, uint64_t start, uint64_t len, bus_handler handler, void *device)
{
    assert(bus->range_count < BUS_RANGE_MAX);
    bus->ranges[bus->range_count++] = (struct bus_range){start, len, handler, device};
}

bool bus_dispatch(const struct bus *bus, const struct bus_access *access, struct error *error)
{
    for (unsigned int i = 0; i < bus->range_count; i++) {
        const struct bus_range *range = &bus->ranges[i];
        if (access->address >= range->start &&
            range_is_within(access->address - range->start, access->width, range->len)) {
            return range->handler(range->device, access->address - range->start, access, error);
        }
    }
    return bus_refuse(bus, access, error);
}

bool bus_refuse(const struct bus *bus, const struct bus_access *access, struct error *error)
{
    return error_set(error, ERROR_GUEST, NULL, "the guest %s %s 0x%" PRIx64 " (%u bytes), where no device is",
                     access->is_write ? "wrote to" : "read from", bus->noun, access->address, access->width);
}
