/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest stores goes to `stored`, never to the page that it loads from. A command is a copy of that, taken when
 * the doorbell rings; what the guest stores meanwhile is for the next one.
 */
#include "host/devices/custom_mmio_device.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/ports.h"
#include "abi/transports/custom_mmio.h"
#include "base/checked.h"

/* Those that the guest stores to, and a command with its arguments. */
struct registers {
    uint32_t command;
    uint64_t data_gpa;
    uint64_t data_len;
    uint64_t result_gpa;
    uint64_t off;
};

struct custom_mmio {
    struct transport_device device; /* first */
    struct machine *machine;
    struct transport_file *input;
    struct transport_file *output;
    uint8_t *page;   /* of registers, for the guest to load from */
    uint8_t *data;   /* CUSTOM_MMIO_BUFFER_LEN bytes, which the guest may write to at any time */
    uint8_t *result; /* likewise, which it only reads */
    int doorbell_fd;
    pthread_mutex_t lock; /* covers the following */
    struct registers stored;
    uint32_t completed;
};

static void page_set(struct custom_mmio *device, uint32_t reg, uint32_t value)
{
    __atomic_store_n((uint32_t *)(device->page + reg), value, __ATOMIC_RELEASE);
}

static void page_set_wide(struct custom_mmio *device, uint32_t reg, uint64_t value)
{
    __atomic_store_n((uint64_t *)(device->page + reg), value, __ATOMIC_RELEASE);
}

static bool buffer_check(const char *noun, uint64_t gpa, uint64_t buffer_gpa, uint64_t len, uint64_t *ret_off,
                         struct error *error)
{
    if (gpa < buffer_gpa || !range_is_within(gpa - buffer_gpa, len, CUSTOM_MMIO_BUFFER_LEN)) {
        return error_set(error, ERROR_GUEST, "custom-mmio",
                         "the guest names %" PRIu64 " bytes at 0x%" PRIx64 ", outside of the %s buffer", len, gpa,
                         noun);
    }
    *ret_off = gpa - buffer_gpa;
    return true;
}

/* Sets *ret_errno to why a file failed, and *ret_len to what the command gives. */
static bool command_execute(struct custom_mmio *device, const struct registers *command, int *ret_errno,
                            uint64_t *ret_len, struct error *error)
{
    uint64_t off;
    *ret_errno = 0;
    *ret_len = command->data_len;
    switch (command->command) {
    case CUSTOM_MMIO_READ_CHUNK:
        return buffer_check("result", command->result_gpa, LAYOUT_WINDOW_RESULT_GPA, command->data_len, &off, error) &&
               transport_file_read(device->input, command->off, device->result + off, command->data_len, ret_errno,
                                   error);
    case CUSTOM_MMIO_WRITE_CHUNK:
        return buffer_check("data", command->data_gpa, LAYOUT_WINDOW_DATA_GPA, command->data_len, &off, error) &&
               transport_file_write(device->output, command->off, device->data + off, command->data_len, ret_errno,
                                    error);
    case CUSTOM_MMIO_GET_SIZE:
        *ret_len = device->input->backend->len;
        return true;
    case CUSTOM_MMIO_FLUSH:
        *ret_errno = transport_file_flush(device->output);
        *ret_len = 0;
        return true;
    default:
        return error_set(error, ERROR_GUEST, "custom-mmio", "the guest gave the unknown command %" PRIu32,
                         command->command);
    }
}

static bool doorbell_answer(struct custom_mmio *device, struct error *error)
{
    pthread_mutex_lock(&device->lock);
    struct registers command = device->stored;
    int result;
    uint64_t len;
    page_set(device, CUSTOM_MMIO_STATUS, CUSTOM_MMIO_BUSY);
    bool is_done = command_execute(device, &command, &result, &len, error);
    if (is_done) {
        page_set_wide(device, CUSTOM_MMIO_RESULT_LENGTH, result == 0 ? len : 0);
        page_set(device, CUSTOM_MMIO_STATUS, result == 0 ? CUSTOM_MMIO_COMPLETE : CUSTOM_MMIO_ERROR);
        page_set(device, CUSTOM_MMIO_COMPLETED, ++device->completed);
        machine_signal(device->machine, WAIT_COMPLETION);
    }
    pthread_mutex_unlock(&device->lock);
    return is_done;
}

/* On the I/O thread. The stores before the doorbell may still wait in the kernel. */
static void doorbell_handle(void *context, int fd)
{
    struct custom_mmio *device = context;
    struct error error = {0};
    eventfd_t rings = 0;
    eventfd_read(fd, &rings);
    machine_drain_writes(device->machine);
    if (!device->machine->has_ended && !doorbell_answer(device, &error)) {
        machine_end(device->machine, &error);
    }
}

/* The place of a register that the guest stores to, and its length; NULL where there is none. */
static void *register_find(struct registers *registers, uint64_t off, uint32_t *ret_len)
{
    *ret_len = sizeof(uint64_t);
    switch (off) {
    case CUSTOM_MMIO_COMMAND:
        *ret_len = sizeof(uint32_t);
        return &registers->command;
    case CUSTOM_MMIO_DATA_GPA:
        return &registers->data_gpa;
    case CUSTOM_MMIO_DATA_LENGTH:
        return &registers->data_len;
    case CUSTOM_MMIO_RESULT_GPA:
        return &registers->result_gpa;
    case CUSTOM_MMIO_OFFSET:
        return &registers->off;
    default:
        return NULL;
    }
}

static bool register_access(void *context, uint64_t off, const struct bus_access *access, struct error *error)
{
    struct custom_mmio *device = context;
    uint32_t len;
    void *target = register_find(&device->stored, off, &len);
    if (off == CUSTOM_MMIO_DOORBELL && access->is_write && access->width == sizeof(uint32_t)) {
        uint32_t value;
        memcpy(&value, access->data, sizeof(value));
        if (value == CUSTOM_MMIO_RING) {
            return doorbell_answer(device, error);
        }
    }
    if (target == NULL || !access->is_write || access->width != len) {
        return error_set(error, ERROR_GUEST, "custom-mmio",
                         "the guest used a register in a way that it does not have (offset 0x%" PRIx64 ", %u bytes)",
                         off, access->width);
    }
    pthread_mutex_lock(&device->lock);
    memcpy(target, access->data, len);
    pthread_mutex_unlock(&device->lock);
    return true;
}

static bool memory_make(struct custom_mmio *device, struct boot_transport *boot, struct error *error)
{
    device->page = guest_memory_window(LAYOUT_HUGE_PAGE_LEN);
    device->data = guest_memory_window(CUSTOM_MMIO_BUFFER_LEN);
    device->result = guest_memory_window(CUSTOM_MMIO_BUFFER_LEN);
    if (device->page == NULL || device->data == NULL || device->result == NULL) {
        return error_set(error, ERROR_HOST, NULL, "cannot map the buffers of a device: %s", strerror(errno));
    }
    boot->registers_gpa = LAYOUT_TRANSPORT_REGISTERS_GPA;
    boot->windows[0] = (struct boot_window){LAYOUT_WINDOW_DATA_GPA, CUSTOM_MMIO_BUFFER_LEN};
    boot->windows[1] = (struct boot_window){LAYOUT_WINDOW_RESULT_GPA, CUSTOM_MMIO_BUFFER_LEN};
    struct machine *machine = device->machine;
    return machine_add_window(machine, LAYOUT_TRANSPORT_REGISTERS_GPA, device->page, LAYOUT_PAGE_LEN, GUEST_REGISTERS,
                              error) &&
           machine_add_window(machine, LAYOUT_WINDOW_DATA_GPA, device->data, CUSTOM_MMIO_BUFFER_LEN, GUEST_READ_WRITE,
                              error) &&
           machine_add_window(machine, LAYOUT_WINDOW_RESULT_GPA, device->result, CUSTOM_MMIO_BUFFER_LEN, GUEST_READ,
                              error);
}

static bool doorbell_make(struct custom_mmio *device, const struct transport_device_setup *setup, struct error *error)
{
    struct engine *engine = device->machine->engine;
    const struct engine_operations *operations = engine->operations;
    bus_add(&device->machine->registers, LAYOUT_TRANSPORT_REGISTERS_GPA, LAYOUT_PAGE_LEN, register_access, device);
    device->doorbell_fd = eventfd(0, EFD_CLOEXEC);
    if (device->doorbell_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    }
    return io_thread_add(setup->thread, device->doorbell_fd, doorbell_handle, device, error) &&
           operations->coalesce_writes(engine, false, LAYOUT_TRANSPORT_REGISTERS_GPA, CUSTOM_MMIO_DOORBELL, error) &&
           operations->coalesce_writes(engine, false, LAYOUT_TRANSPORT_REGISTERS_GPA + CUSTOM_MMIO_OFFSET,
                                       sizeof(uint64_t), error) &&
           (!setup->use_ioeventfd ||
            operations->add_doorbell(engine, LAYOUT_TRANSPORT_REGISTERS_GPA + CUSTOM_MMIO_DOORBELL, CUSTOM_MMIO_RING,
                                     device->doorbell_fd, error));
}

static void custom_mmio_release(struct transport_device *transport)
{
    struct custom_mmio *device = (struct custom_mmio *)transport;
    guest_memory_window_release(device->page, LAYOUT_HUGE_PAGE_LEN);
    guest_memory_window_release(device->data, CUSTOM_MMIO_BUFFER_LEN);
    guest_memory_window_release(device->result, CUSTOM_MMIO_BUFFER_LEN);
    if (device->doorbell_fd >= 0) {
        close(device->doorbell_fd);
    }
    pthread_mutex_destroy(&device->lock);
    free(device);
}

static bool custom_mmio_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                             struct error *error)
{
    struct custom_mmio *device = calloc(1, sizeof(*device));
    if (device == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    device->device.operations = &custom_mmio_device;
    device->machine = setup->machine;
    device->input = setup->input;
    device->output = setup->output;
    device->doorbell_fd = -1;
    pthread_mutex_init(&device->lock, NULL);
    if (!memory_make(device, setup->boot, error) || !doorbell_make(device, setup, error)) {
        custom_mmio_release(&device->device);
        return false;
    }
    *ret_device = &device->device;
    return true;
}

const struct transport_device_operations custom_mmio_device = {
    .make = custom_mmio_make,
    .release = custom_mmio_release,
};
