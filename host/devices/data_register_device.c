/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses come on the thread of whichever vCPU makes them, or as coalesced writes: a lock covers all. Every access
 * ends the job unless the register has it in the width that the ABI says.
 */
#include "host/devices/data_register_device.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "abi/transports/data_register.h"
#include "base/checked.h"

/* Between the register and the file: large enough that the file's cost does not count. */
#define BUFFER_LEN (64u * 1024u)

enum mode {
    MODE_NONE,
    MODE_SIZE,  /* the buffer holds the input's length */
    MODE_READ,  /* the buffer holds what comes before `off` of the input */
    MODE_WRITE, /* the buffer is for `off` of the output */
};

struct data_register {
    struct transport_device device; /* first */
    struct machine *machine;
    pthread_mutex_t lock; /* covers all that follows */
    struct transport_file *input;
    struct transport_file *output;
    enum mode mode;
    bool has_failed; /* an operation on a file; the guest sees it in the status */
    uint64_t argument;
    uint64_t off;
    size_t used_len; /* bytes of the buffer that were read by the guest */
    size_t len;      /* bytes in the buffer */
    uint8_t buffer[BUFFER_LEN];
};

static bool misuse(struct error *error)
{
    return error_set(error, ERROR_GUEST, "data register", "the guest used a register in a way that it does not have");
}

/* What the guest wrote and the file does not have yet. */
static bool buffer_store(struct data_register *device, struct error *error)
{
    if (device->mode != MODE_WRITE || device->len == 0) {
        return true;
    }
    int result;
    RETURN_IF_FAILED(transport_file_write(device->output, device->off, device->buffer, device->len, &result, error));
    device->has_failed |= result != 0;
    device->off += device->len; /* no overflow: it ended within the file */
    device->len = 0;
    return true;
}

/* The next bytes of the input. */
static bool buffer_fill(struct data_register *device, struct error *error)
{
    if (device->mode != MODE_READ || device->off >= device->input->backend->len) {
        return error_set(error, ERROR_GUEST, "data register", "the guest reads data that it did not ask for");
    }
    size_t len = (size_t)min_u64(BUFFER_LEN, device->input->backend->len - device->off);
    int result;
    RETURN_IF_FAILED(transport_file_read(device->input, device->off, device->buffer, len, &result, error));
    if (result != 0) {
        device->has_failed = true;
        memset(device->buffer, 0, len);
    }
    device->off += len;
    device->len = len;
    device->used_len = 0;
    return true;
}

static bool bytes_give(struct data_register *device, uint8_t *data, size_t len, struct error *error)
{
    while (len > 0) { /* ends: each round gives a byte at least */
        if (device->mode == MODE_WRITE || device->used_len == device->len) {
            RETURN_IF_FAILED(buffer_fill(device, error));
        }
        size_t part_len = (size_t)min_u64(len, device->len - device->used_len);
        memcpy(data, device->buffer + device->used_len, part_len);
        device->used_len += part_len;
        data += part_len;
        len -= part_len;
    }
    return true;
}

static bool bytes_take(struct data_register *device, const uint8_t *data, size_t len, struct error *error)
{
    if (device->mode != MODE_WRITE) {
        return error_set(error, ERROR_GUEST, "data register", "the guest writes data without saying where to");
    }
    while (len > 0) { /* ends: each round takes a byte at least */
        size_t part_len = (size_t)min_u64(len, BUFFER_LEN - device->len);
        memcpy(device->buffer + device->len, data, part_len);
        device->len += part_len;
        data += part_len;
        len -= part_len;
        if (device->len == BUFFER_LEN) {
            RETURN_IF_FAILED(buffer_store(device, error));
        }
    }
    return true;
}

static void mode_set(struct data_register *device, enum mode mode, uint64_t off)
{
    device->mode = mode;
    device->off = off;
    device->len = 0;
    device->used_len = 0;
}

static bool command_execute(struct data_register *device, uint32_t command, struct error *error)
{
    RETURN_IF_FAILED(buffer_store(device, error));
    switch (command) {
    case DATA_COMMAND_SIZE:
        mode_set(device, MODE_SIZE, 0);
        device->len = sizeof(device->input->backend->len);
        memcpy(device->buffer, &device->input->backend->len, device->len);
        return true;
    case DATA_COMMAND_READ:
        mode_set(device, MODE_READ, device->argument);
        return true;
    case DATA_COMMAND_WRITE:
        mode_set(device, MODE_WRITE, device->argument);
        return true;
    case DATA_COMMAND_FLUSH:
        device->has_failed |= transport_file_flush(device->output) != 0;
        return true;
    case DATA_COMMAND_FINISH:
        mode_set(device, MODE_NONE, 0);
        return true;
    default:
        return error_set(error, ERROR_GUEST, "data register", "the guest gave the unknown command %" PRIu32, command);
    }
}

static bool data_access(struct data_register *device, const struct bus_access *access, struct error *error)
{
    size_t len = (size_t)access->width * access->count;
    return access->is_write ? bytes_take(device, access->data, len, error)
                            : bytes_give(device, access->data, len, error);
}

/* A register that takes one value. */
static bool value_take(const struct bus_access *access, void *value, uint32_t len, struct error *error)
{
    if (!access->is_write || access->width != len || access->count != 1) {
        return misuse(error);
    }
    memcpy(value, access->data, len);
    return true;
}

static bool command_access(struct data_register *device, const struct bus_access *access, struct error *error)
{
    uint32_t command;
    return value_take(access, &command, sizeof(command), error) && command_execute(device, command, error);
}

static bool status_access(struct data_register *device, const struct bus_access *access, struct error *error)
{
    uint32_t status = device->has_failed ? DATA_STATUS_FAILED : DATA_STATUS_OK;
    if (access->is_write || access->width != sizeof(status) || access->count != 1) {
        return misuse(error);
    }
    memcpy(access->data, &status, sizeof(status));
    return true;
}

static bool port_access(struct data_register *device, uint64_t off, const struct bus_access *access,
                        struct error *error)
{
    switch (off + PORT_TRANSPORT) {
    case PIO_PORT_COMMAND:
        return command_access(device, access, error);
    case PIO_PORT_ARGUMENT: {
        uint32_t half;
        RETURN_IF_FAILED(value_take(access, &half, sizeof(half), error));
        device->argument = device->argument >> 32 | (uint64_t)half << 32;
        return true;
    }
    case PIO_PORT_DATA:
        return data_access(device, access, error);
    case PIO_PORT_STATUS:
        return status_access(device, access, error);
    default:
        return misuse(error);
    }
}

static bool register_access(struct data_register *device, uint64_t off, const struct bus_access *access,
                            struct error *error)
{
    switch (off) {
    case MMIO_REGISTER_COMMAND:
        return command_access(device, access, error);
    case MMIO_REGISTER_ARGUMENT:
        return value_take(access, &device->argument, sizeof(device->argument), error);
    case MMIO_REGISTER_DATA:
        return data_access(device, access, error);
    case MMIO_REGISTER_STATUS:
        return status_access(device, access, error);
    default:
        return misuse(error);
    }
}

static bool port_access_locked(void *context, uint64_t off, const struct bus_access *access, struct error *error)
{
    struct data_register *device = context;
    pthread_mutex_lock(&device->lock);
    bool is_done = port_access(device, off, access, error);
    pthread_mutex_unlock(&device->lock);
    return is_done;
}

static bool register_access_locked(void *context, uint64_t off, const struct bus_access *access, struct error *error)
{
    struct data_register *device = context;
    pthread_mutex_lock(&device->lock);
    bool is_done = register_access(device, off, access, error);
    pthread_mutex_unlock(&device->lock);
    return is_done;
}

static struct data_register *data_register_make(const struct transport_device_setup *setup,
                                                const struct transport_device_operations *operations,
                                                struct error *error)
{
    struct data_register *device = calloc(1, sizeof(*device));
    if (device == NULL) {
        error_fill(error, ERROR_HOST, NULL, "out of memory");
        return NULL;
    }
    device->device.operations = operations;
    device->machine = setup->machine;
    device->input = setup->input;
    device->output = setup->output;
    pthread_mutex_init(&device->lock, NULL);
    return device;
}

static void data_register_release(struct transport_device *transport)
{
    struct data_register *device = (struct data_register *)transport;
    pthread_mutex_destroy(&device->lock);
    free(device);
}

static bool pio_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                     struct error *error)
{
    struct data_register *device = data_register_make(setup, &pio_device, error);
    if (device == NULL) {
        return false;
    }
    struct machine *machine = setup->machine;
    bus_add(&machine->ports, PORT_TRANSPORT, PIO_PORT_STATUS + sizeof(uint32_t) - PORT_TRANSPORT, port_access_locked,
            device);
    if (setup->variant == PIO_VARIANT_STRING &&
        !machine->engine->operations->coalesce_writes(machine->engine, true, PIO_PORT_DATA, PORT_DATA_SPAN, error)) {
        data_register_release(&device->device);
        return false;
    }
    *ret_device = &device->device;
    return true;
}

static bool mmio_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                      struct error *error)
{
    struct data_register *device = data_register_make(setup, &mmio_device, error);
    if (device == NULL) {
        return false;
    }
    struct machine *machine = setup->machine;
    bus_add(&machine->registers, LAYOUT_TRANSPORT_REGISTERS_GPA, LAYOUT_PAGE_LEN, register_access_locked, device);
    setup->boot->registers_gpa = LAYOUT_TRANSPORT_REGISTERS_GPA;
    if (!machine->engine->operations->map(machine->engine, LAYOUT_TRANSPORT_REGISTERS_GPA, LAYOUT_PAGE_LEN, GUEST_BUS,
                                          error)) {
        data_register_release(&device->device);
        return false;
    }
    *ret_device = &device->device;
    return true;
}

const struct transport_device_operations pio_device = {.make = pio_make, .release = data_register_release};
const struct transport_device_operations mmio_device = {.make = mmio_make, .release = data_register_release};
