/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/register_bank.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/checked.h"

/* What the guest stores to the doorbell: late devices have one queue. */
#define DOORBELL_VALUE 0u
#define DOORBELL_LEN sizeof(uint32_t)
/* So many devices, which is a chain of images, are one group: a registration with the kernel takes microseconds. */
#define LONE_GROUP_LEN_MAX 256u

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
static bool doorbell_access(void *device, uint64_t off, const struct bus_access *access, struct error *error)
{
    struct register_bank *bank = device;
    uint32_t value = ~DOORBELL_VALUE;
    if (access->is_write && access->width == sizeof(value)) {
        memcpy(&value, access->data, sizeof(value));
    }
    if (value != DOORBELL_VALUE || off % DOORBELL_LEN != 0 || off / DOORBELL_LEN >= bank->group_count) {
        return bus_refuse(&bank->machine->registers, access, error);
    }
    eventfd_write(bank->late_kick_fds[off / DOORBELL_LEN], 1);
    return true;
}

static bool doorbells_make(struct register_bank *bank, bool use_ioeventfd, struct error *error)
{
    struct engine *engine = bank->machine->engine;
    for (unsigned int i = 0; i < bank->group_count; i++) {
        uint64_t gpa = LAYOUT_LATE_DOORBELL_GPA + i * DOORBELL_LEN;
        bank->late_kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (bank->late_kick_fds[i] < 0) {
            return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
        }
        if (use_ioeventfd) {
            RETURN_IF_FAILED(
                engine->operations->add_doorbell(engine, gpa, DOORBELL_VALUE, bank->late_kick_fds[i], error));
        }
    }
    bus_add(&bank->machine->registers, LAYOUT_LATE_DOORBELL_GPA, bank->group_count * DOORBELL_LEN, doorbell_access,
            bank);
    return true;
}

bool register_bank_init(struct register_bank *bank, struct machine *machine, struct register_bank_late late,
                        bool use_ioeventfd, struct error *error)
{
    bank->machine = machine;
    bank->late = late;
    bank->group_count = 0;
    for (unsigned int i = 0; i < LAYOUT_LATE_GROUP_MAX; i++) {
        bank->late_kick_fds[i] = -1;
    }
    bus_add(&machine->registers, LAYOUT_REGISTERS_GPA, machine->memory.registers_len, registers_access, bank);
    if (late.count == 0) {
        return true;
    }
    bank->group_len = late.count <= LONE_GROUP_LEN_MAX
                          ? late.count
                          : (late.count + LAYOUT_LATE_GROUP_MAX - 1) / LAYOUT_LATE_GROUP_MAX;
    bank->group_count = (late.count + bank->group_len - 1) / bank->group_len;
    return doorbells_make(bank, use_ioeventfd, error);
}

unsigned int register_bank_group(const struct register_bank *bank, unsigned int index)
{
    assert(index >= bank->late.first && index - bank->late.first < bank->late.count);
    return (index - bank->late.first) / bank->group_len;
}

unsigned int register_bank_group_start(const struct register_bank *bank, unsigned int group)
{
    return bank->late.first + (unsigned int)min_u64((uint64_t)group * bank->group_len, bank->late.count);
}

void register_bank_add(struct register_bank *bank, unsigned int index, struct virtio_mmio *transport)
{
    atomic_store_explicit(&bank->transports[index], transport, memory_order_release);
}

void register_bank_release(struct register_bank *bank)
{
    for (unsigned int i = 0; bank->machine != NULL && i < bank->group_count; i++) {
        if (bank->late_kick_fds[i] >= 0) {
            close(bank->late_kick_fds[i]);
            bank->late_kick_fds[i] = -1;
        }
    }
}
