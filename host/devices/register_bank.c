/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/register_bank.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the guest stores to the doorbell: late devices have one queue. */
#define DOORBELL_VALUE 0u

static bool registers_access(void *device, uint64_t off, const struct bus_access *access, struct error *error)
{
    struct register_bank *bank = device;
    uint64_t index = off / LAYOUT_REGISTERS_STRIDE;
    uint64_t register_off = off % LAYOUT_REGISTERS_STRIDE;
    if (index >= bank->machine->device_count || register_off + access->width > LAYOUT_REGISTERS_STRIDE) {
        return bus_refuse(&bank->machine->registers, access, error);
    }
    struct virtio_mmio *transport = atomic_load_explicit(&bank->transports[index], memory_order_acquire);
    if (transport == NULL) {
        return error_set(error, ERROR_GUEST, "disk", "the driver uses a device that is not there");
    }
    return virtio_mmio_access(transport, register_off, access, error);
}

/* Where the kernel does not do it. */
static bool doorbell_access(void *device, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct register_bank *bank = device;
    uint32_t value = ~DOORBELL_VALUE;
    if (access->is_write && access->width == sizeof(value)) {
        memcpy(&value, access->data, sizeof(value));
    }
    if (value != DOORBELL_VALUE) {
        return bus_refuse(&bank->machine->registers, access, error);
    }
    eventfd_write(bank->late_kick_fd, 1);
    return true;
}

static bool doorbell_make(struct register_bank *bank, bool use_ioeventfd, struct error *error)
{
    struct engine *engine = bank->machine->engine;
    bank->late_kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bank->late_kick_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    }
    bus_add(&bank->machine->registers, LAYOUT_LATE_DOORBELL_GPA, sizeof(uint32_t), doorbell_access, bank);
    return !use_ioeventfd || engine->operations->add_doorbell(engine, LAYOUT_LATE_DOORBELL_GPA, DOORBELL_VALUE,
                                                              bank->late_kick_fd, error);
}

bool register_bank_init(struct register_bank *bank, struct machine *machine, bool has_late, bool use_ioeventfd,
                        struct error *error)
{
    *bank = (struct register_bank){.machine = machine, .late_kick_fd = -1};
    bus_add(&machine->registers, LAYOUT_REGISTERS_GPA, machine->memory.registers_len, registers_access, bank);
    return !has_late || doorbell_make(bank, use_ioeventfd, error);
}

void register_bank_add(struct register_bank *bank, unsigned int index, struct virtio_mmio *transport)
{
    atomic_store_explicit(&bank->transports[index], transport, memory_order_release);
}

void register_bank_release(struct register_bank *bank)
{
    if (bank->machine != NULL && bank->late_kick_fd >= 0) {
        close(bank->late_kick_fd);
        bank->late_kick_fd = -1;
    }
}
