/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input window is a mapping of the file: what cannot be read of it ends the machine as a fault of the guest's. The
 * output window is anonymous memory, read when the guest signals, and given back to the kernel right behind that, so
 * that nothing of it outlives the job in this process.
 */
#include "host/devices/direct_window.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/ports.h"
#include "abi/transports/direct.h"
#include "base/checked.h"
#include "host/backends/copy_zeros.h"

/* Of a window, read, or looked through and written, at a time. */
#define STEP_LEN (1ull << 20)

struct direct {
    struct transport_device device; /* first */
    struct machine *machine;
    struct transport_file *input;
    struct transport_file *output;
    uint64_t input_len; /* of the file */
    uint8_t *input_window;
    uint64_t input_window_len;
    uint8_t *output_window;
    uint64_t output_window_len;
    uint8_t *control; /* a page with a struct direct_control, which the guest may write to at any time */
    int doorbell_fd;  /* -1 without one */
    void (*progress)(void *context, uint64_t done_len, uint64_t total_len);
    void *context;
    pthread_mutex_t lock; /* covers the following */
    bool is_taken;
    uint8_t percent; /* told last */
};

static volatile struct direct_control *control_of(const struct direct *direct)
{
    return (volatile struct direct_control *)direct->control;
}

/* Writes [0, len) of the output window to the file, but for zeros that the file has anyway. */
static bool window_take(struct direct *direct, uint64_t len, int *ret_errno, struct error *error)
{
    int result = 0;
    for (uint64_t off = 0; off < len && result == 0;) {
        uint64_t part_len = min_u64(len - off, STEP_LEN);
        bool is_zero = false;
        if (direct->output->zeroed) {
            part_len =
                copy_zeros_run(direct->output_window + off, (size_t)part_len, off, COPY_ZEROS_BLOCK_LEN, &is_zero);
        }
        if (!is_zero) {
            RETURN_IF_FAILED(
                transport_file_write(direct->output, off, direct->output_window + off, part_len, &result, error));
        }
        off += part_len; /* ends: no run is empty */
    }
    *ret_errno = result;
    return true;
}

/* The guest says that the output is complete. Under the lock. */
static bool output_take(struct direct *direct, struct error *error)
{
    uint64_t len = control_of(direct)->output_len; /* once */
    uint32_t flags = control_of(direct)->flags;
    if (direct->is_taken) {
        return error_set(error, ERROR_GUEST, "direct", "the guest completes its output twice");
    }
    if (len > direct->output->backend->len || len > direct->output_window_len) {
        return error_set(error, ERROR_GUEST, "direct",
                         "the guest says that its output has %" PRIu64 " bytes; there is room for %" PRIu64, len,
                         min_u64(direct->output->backend->len, direct->output_window_len));
    }
    if ((flags & ~DIRECT_FLUSH) != 0) {
        return error_set(error, ERROR_GUEST, "direct", "the guest completes its output with unknown flags 0x%" PRIx32,
                         flags);
    }
    direct->is_taken = true;
    int result;
    RETURN_IF_FAILED(window_take(direct, len, &result, error));
    if (result == 0 && (flags & DIRECT_FLUSH) != 0) {
        result = transport_file_flush(direct->output);
    }
    /* Private anonymous memory: zero from now on, for the guest as well. */
    madvise(direct->output_window, direct->output_window_len, MADV_DONTNEED);
    control_of(direct)->state = result == 0 ? DIRECT_TAKEN : DIRECT_FAILED;
    machine_signal(direct->machine, WAIT_COMPLETION);
    return true;
}

static bool output_take_locked(struct direct *direct, struct error *error)
{
    pthread_mutex_lock(&direct->lock);
    bool is_done = output_take(direct, error);
    pthread_mutex_unlock(&direct->lock);
    return is_done;
}

/* Both the port and, where the kernel does not take the store, the doorbell. */
static bool signal_access(void *context, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    uint32_t value = 0;
    if (access->is_write && access->width == sizeof(value) && access->count == 1) {
        memcpy(&value, access->data, sizeof(value));
    }
    if (value != DIRECT_SIGNAL) {
        return error_set(error, ERROR_GUEST, "direct", "the guest signals other than by a 4-byte write of 1");
    }
    return output_take_locked(context, error);
}

static void doorbell_handle(void *context, int fd)
{
    struct direct *direct = context;
    struct error error = {0};
    eventfd_t signals = 0;
    eventfd_read(fd, &signals);
    if (!output_take_locked(direct, &error)) {
        machine_end(direct->machine, &error);
    }
}

static bool progress_access(void *context, uint64_t off UNUSED, const struct bus_access *access, struct error *error)
{
    struct direct *direct = context;
    if (!access->is_write || access->width != 1) {
        return error_set(error, ERROR_GUEST, "direct", "the guest uses the progress port other than by writing bytes");
    }
    for (uint32_t i = 0; i < access->count; i++) {
        uint8_t percent = access->data[i];
        pthread_mutex_lock(&direct->lock);
        bool is_more = percent > direct->percent;
        direct->percent = (uint8_t)max_u64(direct->percent, percent);
        pthread_mutex_unlock(&direct->lock);
        if (percent > DIRECT_PERCENT_MAX) {
            return error_set(error, ERROR_GUEST, "direct", "the guest says that it has done %u percent", percent);
        }
        if (is_more) {
            direct->progress(direct->context, direct->input_len * percent / DIRECT_PERCENT_MAX, direct->input_len);
        }
    }
    return true;
}

static bool windows_map(struct direct *direct, struct error *error)
{
    direct->input_window = guest_memory_window(direct->input_window_len);
    direct->output_window = guest_memory_window(direct->output_window_len);
    direct->control = guest_memory_window(LAYOUT_HUGE_PAGE_LEN);
    if (direct->input_window == NULL || direct->output_window == NULL || direct->control == NULL) {
        return error_set(error, ERROR_HOST, NULL, "cannot map the windows of a direct transport: %s", strerror(errno));
    }
    madvise(direct->output_window, direct->output_window_len, MADV_HUGEPAGE);
    madvise(direct->input_window, direct->input_window_len, MADV_HUGEPAGE);
    return true;
}

static bool input_load(struct direct *direct, struct error *error)
{
    uint64_t step_len;
    for (uint64_t off = 0; off < direct->input_len; off += step_len) { /* ends: no step is empty */
        int result;
        step_len = min_u64(direct->input_len - off, STEP_LEN);
        RETURN_IF_FAILED(transport_file_read(direct->input, off, direct->input_window + off, step_len, &result, error));
        if (result != 0) {
            return error_set(error, ERROR_IO, direct->input->name, "cannot %s: %s", direct->input->what,
                             strerror(result));
        }
    }
    return true;
}

static bool windows_add(struct direct *direct, struct boot_transport *boot, struct error *error)
{
    boot->windows[0] = (struct boot_window){LAYOUT_WINDOW_INPUT_GPA, direct->input_window_len};
    boot->windows[1] = (struct boot_window){LAYOUT_WINDOW_OUTPUT_GPA, direct->output_window_len};
    boot->windows[2] = (struct boot_window){LAYOUT_WINDOW_DATA_GPA, LAYOUT_PAGE_LEN};
    return machine_add_window(direct->machine, LAYOUT_WINDOW_INPUT_GPA, direct->input_window, direct->input_window_len,
                              GUEST_READ, error) &&
           machine_add_window(direct->machine, LAYOUT_WINDOW_OUTPUT_GPA, direct->output_window,
                              direct->output_window_len, GUEST_READ_WRITE, error) &&
           machine_add_window(direct->machine, LAYOUT_WINDOW_DATA_GPA, direct->control, LAYOUT_PAGE_LEN,
                              GUEST_READ_WRITE, error);
}

static bool doorbell_add(struct direct *direct, const struct transport_device_setup *setup, struct error *error)
{
    const struct engine_operations *operations = direct->machine->engine->operations;
    setup->boot->registers_gpa = LAYOUT_TRANSPORT_REGISTERS_GPA;
    direct->doorbell_fd = eventfd(0, EFD_CLOEXEC);
    if (direct->doorbell_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    }
    bus_add(&direct->machine->registers, LAYOUT_TRANSPORT_REGISTERS_GPA, sizeof(uint32_t), signal_access, direct);
    return operations->map(direct->machine->engine, LAYOUT_TRANSPORT_REGISTERS_GPA, LAYOUT_PAGE_LEN, GUEST_BUS,
                           error) &&
           io_thread_add(setup->thread, direct->doorbell_fd, doorbell_handle, direct, error) &&
           (!setup->use_ioeventfd || operations->add_doorbell(direct->machine->engine, LAYOUT_TRANSPORT_REGISTERS_GPA,
                                                              DIRECT_SIGNAL, direct->doorbell_fd, error));
}

/* How the guest signals, and tells of its progress. */
static bool signals_add(struct direct *direct, const struct transport_device_setup *setup, struct error *error)
{
    struct machine *machine = direct->machine;
    if (setup->variant == DIRECT_VARIANT_DOORBELL) {
        return doorbell_add(direct, setup, error);
    }
    bus_add(&machine->ports, PORT_TRANSPORT, sizeof(uint32_t), signal_access, direct);
    if (setup->variant != DIRECT_VARIANT_PROGRESS) {
        return true;
    }
    bus_add(&machine->ports, PORT_PROGRESS, 1, progress_access, direct);
    return machine->engine->operations->coalesce_writes(machine->engine, true, PORT_PROGRESS, 1, error);
}

static void direct_release(struct transport_device *device)
{
    struct direct *direct = (struct direct *)device;
    guest_memory_window_release(direct->input_window, direct->input_window_len);
    guest_memory_window_release(direct->output_window, direct->output_window_len);
    guest_memory_window_release(direct->control, LAYOUT_HUGE_PAGE_LEN);
    if (direct->doorbell_fd >= 0) {
        close(direct->doorbell_fd);
    }
    pthread_mutex_destroy(&direct->lock);
    free(direct);
}

static bool direct_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                        struct error *error)
{
    uint64_t input_len = setup->input->backend->len;
    uint64_t output_len = setup->output->backend->len;
    if (input_len > LAYOUT_WINDOW_LEN_MAX) {
        return error_set(
            error, ERROR_UNSUPPORTED, NULL,
            "the direct transport carries files of up to %llu bytes, as they lie in the guest's memory whole; "
            "the input has %" PRIu64,
            LAYOUT_WINDOW_LEN_MAX, input_len);
    }
    struct direct *direct = calloc(1, sizeof(*direct));
    if (direct == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    direct->device.operations = &direct_device;
    direct->machine = setup->machine;
    direct->input = setup->input;
    direct->output = setup->output;
    direct->input_len = input_len;
    direct->input_window_len = round_up(max_u64(input_len, 1), LAYOUT_HUGE_PAGE_LEN);
    /* A block device to write to may be longer than what is written. */
    direct->output_window_len = round_up(min_u64(max_u64(output_len, 1), LAYOUT_WINDOW_LEN_MAX), LAYOUT_HUGE_PAGE_LEN);
    direct->doorbell_fd = -1;
    direct->progress = setup->progress;
    direct->context = setup->context;
    pthread_mutex_init(&direct->lock, NULL);
    bool is_made = windows_map(direct, error) && input_load(direct, error) && windows_add(direct, setup->boot, error) &&
                   signals_add(direct, setup, error);
    if (!is_made) {
        direct_release(&direct->device);
        return false;
    }
    control_of(direct)->input_len = input_len;
    *ret_device = &direct->device;
    return true;
}

const struct transport_device_operations direct_device = {.make = direct_make, .release = direct_release};
