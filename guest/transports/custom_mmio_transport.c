/* SPDX-License-Identifier: Apache-2.0 */
/* One command at a time, its data through two buffers (abi/transports/custom_mmio.h). */
#include <string.h>

#include "abi/ports.h"
#include "abi/transports/custom_mmio.h"
#include "base/checked.h"
#include "guest/runtime/platform.h"
#include "guest/transports/transport_kinds.h"

/* A command takes some 10 us and its data's time: polling for so long costs less than an exit and a wake-up. */
#define POLL_US 100u
#define TSC_KHZ_GUESS 2000000u

/* What the device knows already is not stored again: a store costs microseconds even where it is coalesced. */
struct known {
    uint32_t command;
    uint64_t data_len;
    uint64_t off;
};

struct custom_mmio {
    struct transport transport; /* first */
    uint64_t registers_gpa;
    struct boot_window data;
    struct boot_window result;
    uint64_t chunk_len;
    uint64_t poll_ticks;
    struct known known;
};

static uint32_t load(const struct custom_mmio *device, uint32_t reg)
{
    return platform_register_read32(device->registers_gpa + reg);
}

static bool poll(const struct custom_mmio *device, uint32_t completed)
{
    uint64_t start = platform_ticks();
    while (load(device, CUSTOM_MMIO_COMPLETED) == completed) {
        if (platform_ticks() - start >= device->poll_ticks) {
            return false;
        }
        platform_relax();
    }
    return true;
}

static bool execute(struct custom_mmio *device, enum custom_mmio_command command, uint64_t off, uint64_t len,
                    uint64_t *ret_len, struct error *error)
{
    uint32_t completed = load(device, CUSTOM_MMIO_COMPLETED);
    if (device->known.command != (uint32_t)command) {
        platform_register_write32(device->registers_gpa + CUSTOM_MMIO_COMMAND, command);
    }
    if (device->known.data_len != len) {
        platform_register_write64(device->registers_gpa + CUSTOM_MMIO_DATA_LENGTH, len);
    }
    if (device->known.off != off) {
        platform_register_write64(device->registers_gpa + CUSTOM_MMIO_OFFSET, off);
    }
    device->known = (struct known){command, len, off};
    platform_register_write32(device->registers_gpa + CUSTOM_MMIO_DOORBELL, CUSTOM_MMIO_RING);
    /* Nothing bounds this wait but the host, which ends a job whose device does not answer. */
    while (!poll(device, completed)) {
        platform_wait(WAIT_COMPLETION);
    }
    if (load(device, CUSTOM_MMIO_STATUS) != CUSTOM_MMIO_COMPLETE) {
        return error_set(error, ERROR_IO, command == CUSTOM_MMIO_READ_CHUNK ? "input" : "output",
                         "the device reports an I/O error");
    }
    *ret_len = platform_register_read64(device->registers_gpa + CUSTOM_MMIO_RESULT_LENGTH);
    return true;
}

static bool custom_mmio_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    const struct boot_transport *boot = &setup->boot->transport;
    struct custom_mmio *device = arena_allocate(setup->arena, sizeof(*device), _Alignof(struct custom_mmio));
    if (device == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    uint64_t tsc_khz = setup->boot->tsc_khz != 0 ? setup->boot->tsc_khz : TSC_KHZ_GUESS;
    device->transport.operations = &custom_mmio_transport;
    device->transport.is_output_zeroed = (boot->flags & BOOT_TRANSPORT_OUTPUT_ZEROED) != 0;
    device->registers_gpa = boot->registers_gpa;
    device->data = boot->windows[0];
    device->result = boot->windows[1];
    device->chunk_len = min_u64(setup->request_len, min_u64(device->data.len, device->result.len));
    device->poll_ticks = transport_poll_ticks(setup->boot, tsc_khz * POLL_US / 1000);
    platform_register_write64(device->registers_gpa + CUSTOM_MMIO_DATA_GPA, device->data.gpa);
    platform_register_write64(device->registers_gpa + CUSTOM_MMIO_RESULT_GPA, device->result.gpa);
    RETURN_IF_FAILED(execute(device, CUSTOM_MMIO_GET_SIZE, 0, 0, &device->transport.input_len, error));
    *ret_transport = &device->transport;
    return true;
}

static bool custom_mmio_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct custom_mmio *device = (struct custom_mmio *)transport;
    uint64_t part_len = 0;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: no part is empty */
        uint64_t given_len = 0;
        part_len = min_u64(len - done_len, device->chunk_len);
        RETURN_IF_FAILED(execute(device, CUSTOM_MMIO_READ_CHUNK, off + done_len, part_len, &given_len, error));
        if (given_len != part_len) {
            return error_set(error, ERROR_IO, "input", "the device reads %llu bytes instead of %llu",
                             (unsigned long long)given_len, (unsigned long long)part_len);
        }
        memcpy((uint8_t *)data + done_len, (const uint8_t *)(uintptr_t)device->result.gpa, (size_t)part_len);
    }
    return true;
}

static bool custom_mmio_write(struct transport *transport, uint64_t off, const void *data, uint64_t len,
                              struct error *error)
{
    struct custom_mmio *device = (struct custom_mmio *)transport;
    uint64_t part_len = 0;
    for (uint64_t done_len = 0; done_len < len; done_len += part_len) { /* ends: no part is empty */
        uint64_t taken_len = 0;
        part_len = min_u64(len - done_len, device->chunk_len);
        memcpy((uint8_t *)(uintptr_t)device->data.gpa, (const uint8_t *)data + done_len, (size_t)part_len);
        RETURN_IF_FAILED(execute(device, CUSTOM_MMIO_WRITE_CHUNK, off + done_len, part_len, &taken_len, error));
    }
    return true;
}

static bool custom_mmio_flush(struct transport *transport, struct error *error)
{
    uint64_t ignored_len;
    return execute((struct custom_mmio *)transport, CUSTOM_MMIO_FLUSH, 0, 0, &ignored_len, error);
}

static bool custom_mmio_signal(struct transport *transport, uint32_t which, const char **ret_what, struct error *error)
{
    (void)which;
    uint64_t ignored_len;
    *ret_what = "doorbell and completion";
    return execute((struct custom_mmio *)transport, CUSTOM_MMIO_GET_SIZE, 0, 0, &ignored_len, error);
}

const struct transport_operations custom_mmio_transport = {
    .name = "custom-mmio",
    .id = TRANSPORT_CUSTOM_MMIO,
    .open = custom_mmio_open,
    .read = custom_mmio_read,
    .write = custom_mmio_write,
    .flush = custom_mmio_flush,
    .signal_count = 1,
    .signal = custom_mmio_signal,
};
