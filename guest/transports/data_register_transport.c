/* SPDX-License-Identifier: Apache-2.0 */
/* The transports pio and mmio: one register, all data through it (abi/transports/data_register.h). */
#include <string.h>

#include "abi/transports/data_register.h"
#include "base/checked.h"
#include "guest/runtime/platform.h"
#include "guest/transports/transport_kinds.h"

struct data_register {
    struct transport transport; /* first */
    uint64_t registers_gpa;     /* mmio's */
    bool is_string;             /* pio's */
};

/* What differs between a port and a register in memory. */
static bool is_mmio(const struct data_register *device)
{
    return device->transport.operations == &mmio_transport;
}

static void command(const struct data_register *device, enum data_command command, uint64_t argument)
{
    if (is_mmio(device)) {
        platform_register_write64(device->registers_gpa + MMIO_REGISTER_ARGUMENT, argument);
        platform_register_write32(device->registers_gpa + MMIO_REGISTER_COMMAND, command);
        return;
    }
    platform_port_write32(PIO_PORT_ARGUMENT, (uint32_t)argument);
    platform_port_write32(PIO_PORT_ARGUMENT, (uint32_t)(argument >> 32));
    platform_port_write32(PIO_PORT_COMMAND, command);
}

static bool status_check(const struct data_register *device, const char *what, struct error *error)
{
    uint32_t status = is_mmio(device) ? platform_register_read32(device->registers_gpa + MMIO_REGISTER_STATUS)
                                      : platform_port_read32(PIO_PORT_STATUS);
    return status == DATA_STATUS_OK || error_set(error, ERROR_IO, what, "the device reports an I/O error");
}

static void bytes_in(const struct data_register *device, uint8_t *data, uint64_t len)
{
    uint64_t done_len = 0;
    if (is_mmio(device)) {
        for (; len - done_len >= sizeof(uint64_t); done_len += sizeof(uint64_t)) {
            uint64_t word = platform_register_read64(device->registers_gpa + MMIO_REGISTER_DATA);
            memcpy(data + done_len, &word, sizeof(word));
        }
        for (; done_len < len; done_len++) {
            data[done_len] = platform_register_read8(device->registers_gpa + MMIO_REGISTER_DATA);
        }
        return;
    }
    if (device->is_string) {
        platform_port_read_words(PIO_PORT_DATA, data, len / sizeof(uint32_t));
        done_len = round_down(len, sizeof(uint32_t));
    }
    for (; len - done_len >= sizeof(uint32_t); done_len += sizeof(uint32_t)) {
        uint32_t word = platform_port_read32(PIO_PORT_DATA);
        memcpy(data + done_len, &word, sizeof(word));
    }
    for (; done_len < len; done_len++) {
        data[done_len] = platform_port_read8(PIO_PORT_DATA);
    }
}

static void bytes_out(const struct data_register *device, const uint8_t *data, uint64_t len)
{
    uint64_t done_len = 0;
    if (device->is_string) {
        platform_port_write(PIO_PORT_DATA, data, len);
        return;
    }
    if (is_mmio(device)) {
        for (; len - done_len >= sizeof(uint64_t); done_len += sizeof(uint64_t)) {
            uint64_t word;
            memcpy(&word, data + done_len, sizeof(word));
            platform_register_write64(device->registers_gpa + MMIO_REGISTER_DATA, word);
        }
        for (; done_len < len; done_len++) {
            platform_register_write8(device->registers_gpa + MMIO_REGISTER_DATA, data[done_len]);
        }
        return;
    }
    for (; len - done_len >= sizeof(uint32_t); done_len += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, data + done_len, sizeof(word));
        platform_port_write32(PIO_PORT_DATA, word);
    }
    for (; done_len < len; done_len++) {
        platform_port_write8(PIO_PORT_DATA, data[done_len]);
    }
}

static bool data_register_open(const struct transport_setup *setup, const struct transport_operations *operations,
                               struct transport **ret_transport, struct error *error)
{
    const struct boot_transport *boot = &setup->boot->transport;
    struct data_register *device = arena_allocate(setup->arena, sizeof(*device), _Alignof(struct data_register));
    if (device == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    device->transport.operations = operations;
    device->transport.is_output_zeroed = (boot->flags & BOOT_TRANSPORT_OUTPUT_ZEROED) != 0;
    device->registers_gpa = boot->registers_gpa;
    device->is_string = operations == &pio_transport && boot->variant == PIO_VARIANT_STRING;
    command(device, DATA_COMMAND_SIZE, 0);
    bytes_in(device, (uint8_t *)&device->transport.input_len, sizeof(device->transport.input_len));
    *ret_transport = &device->transport;
    return true;
}

static bool pio_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    return data_register_open(setup, &pio_transport, ret_transport, error);
}

static bool mmio_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    return data_register_open(setup, &mmio_transport, ret_transport, error);
}

static bool data_register_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    const struct data_register *device = (const struct data_register *)transport;
    command(device, DATA_COMMAND_READ, off);
    bytes_in(device, data, len);
    return status_check(device, "input", error);
}

static bool data_register_write(struct transport *transport, uint64_t off, const void *data, uint64_t len,
                                struct error *error)
{
    const struct data_register *device = (const struct data_register *)transport;
    command(device, DATA_COMMAND_WRITE, off);
    bytes_out(device, data, len);
    command(device, DATA_COMMAND_FINISH, 0);
    return status_check(device, "output", error);
}

static bool data_register_flush(struct transport *transport, struct error *error)
{
    const struct data_register *device = (const struct data_register *)transport;
    command(device, DATA_COMMAND_FLUSH, 0);
    return status_check(device, "output", error);
}

/* A read of one word that has no other effect. */
static bool data_register_signal(struct transport *transport, uint32_t which, const char **ret_what,
                                 struct error *error)
{
    (void)which;
    const struct data_register *device = (const struct data_register *)transport;
    *ret_what = is_mmio(device) ? "load from a register" : "read from a port";
    return status_check(device, "input", error);
}

const struct transport_operations pio_transport = {
    .name = "pio",
    .id = TRANSPORT_PIO,
    .open = pio_open,
    .read = data_register_read,
    .write = data_register_write,
    .flush = data_register_flush,
    .signal_count = 1,
    .signal = data_register_signal,
};

const struct transport_operations mmio_transport = {
    .name = "mmio",
    .id = TRANSPORT_MMIO,
    .open = mmio_open,
    .read = data_register_read,
    .write = data_register_write,
    .flush = data_register_flush,
    .signal_count = 1,
    .signal = data_register_signal,
};
