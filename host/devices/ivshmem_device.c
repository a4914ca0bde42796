/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each machine may write to its own part of the shared memory and read the other's. What is there the host never looks
 * at: it lends the memory, and carries rings.
 */
#include "host/devices/ivshmem_device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/ports.h"
#include "abi/transports/ivshmem.h"

/* What one machine sees of the device. */
struct end {
    struct machine *machine;
    struct machine *other;
    uint32_t ring;   /* what it rings for the other one by */
    uint8_t *page;   /* of registers, for the guest to load from */
    int doorbell_fd; /* -1 without one */
};

struct ivshmem {
    struct transport_device device; /* first */
    struct end ends[2];             /* the machine's place is its identifier */
    uint8_t *reader_part; /* IVSHMEM_READER_LEN bytes, which the machine that reads may write to at any time */
    uint8_t *writer_part; /* IVSHMEM_WRITER_LEN bytes, likewise */
};

/* Any thread. */
static void other_wake(const struct end *end)
{
    machine_signal(end->other, WAIT_COMPLETION);
}

static void doorbell_handle(void *context, int fd)
{
    eventfd_t rings;
    eventfd_read(fd, &rings);
    other_wake(context);
}

/* Rings that the kernel does not take: all of them without ioeventfd, else those that are wrong. */
static bool register_access(void *context, uint64_t off, const struct bus_access *access, struct error *error)
{
    const struct end *end = context;
    uint32_t value;
    if (!access->is_write || off != IVSHMEM_DOORBELL || access->width != sizeof(value)) {
        return error_set(error, ERROR_GUEST, "ivshmem",
                         "the guest used a register in a way that it does not have (offset 0x%" PRIx64 ", %u bytes)",
                         off, access->width);
    }
    memcpy(&value, access->data, sizeof(value));
    if (value != end->ring) {
        return error_set(error, ERROR_GUEST, "ivshmem",
                         "the guest rings for machine %" PRIu32 ", vector %" PRIu32 ", which is not there", value >> 16,
                         value & 0xffffu);
    }
    other_wake(end);
    return true;
}

static bool memory_make(struct ivshmem *ivshmem, struct error *error)
{
    ivshmem->reader_part = guest_memory_window(IVSHMEM_READER_LEN);
    ivshmem->writer_part = guest_memory_window(LAYOUT_HUGE_PAGE_LEN);
    bool has_all = ivshmem->reader_part != NULL && ivshmem->writer_part != NULL;
    for (uint32_t id = 0; id < ARRAY_COUNT(ivshmem->ends); id++) {
        ivshmem->ends[id].page = guest_memory_window(LAYOUT_HUGE_PAGE_LEN);
        has_all = has_all && ivshmem->ends[id].page != NULL;
    }
    if (!has_all) {
        return error_set(error, ERROR_HOST, NULL, "cannot map memory between two machines: %s", strerror(errno));
    }
    madvise(ivshmem->reader_part, IVSHMEM_READER_LEN, MADV_HUGEPAGE);
    return true;
}

/* `id` is the machine's. */
static bool windows_add(const struct ivshmem *ivshmem, uint32_t id, struct boot_transport *boot, struct error *error)
{
    struct machine *machine = ivshmem->ends[id].machine;
    bool is_reader = id == IVSHMEM_READER_ID;
    memcpy(ivshmem->ends[id].page + IVSHMEM_POSITION, &id, sizeof(id));
    boot->registers_gpa = LAYOUT_TRANSPORT_REGISTERS_GPA;
    boot->windows[0] = (struct boot_window){LAYOUT_WINDOW_DATA_GPA, IVSHMEM_READER_LEN};
    boot->windows[1] = (struct boot_window){LAYOUT_WINDOW_RESULT_GPA, IVSHMEM_WRITER_LEN};
    return machine_add_window(machine, LAYOUT_TRANSPORT_REGISTERS_GPA, ivshmem->ends[id].page, LAYOUT_PAGE_LEN,
                              GUEST_REGISTERS, error) &&
           machine_add_window(machine, LAYOUT_WINDOW_DATA_GPA, ivshmem->reader_part, IVSHMEM_READER_LEN,
                              is_reader ? GUEST_READ_WRITE : GUEST_READ, error) &&
           machine_add_window(machine, LAYOUT_WINDOW_RESULT_GPA, ivshmem->writer_part, IVSHMEM_WRITER_LEN,
                              is_reader ? GUEST_READ : GUEST_READ_WRITE, error);
}

static bool doorbell_make(struct end *end, struct io_thread *thread, bool use_ioeventfd, struct error *error)
{
    struct engine *engine = end->machine->engine;
    bus_add(&end->machine->registers, LAYOUT_TRANSPORT_REGISTERS_GPA, LAYOUT_PAGE_LEN, register_access, end);
    if (!use_ioeventfd) {
        return true;
    }
    end->doorbell_fd = eventfd(0, EFD_CLOEXEC);
    if (end->doorbell_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    }
    return io_thread_add(thread, end->doorbell_fd, doorbell_handle, end, error) &&
           engine->operations->add_doorbell(engine, LAYOUT_TRANSPORT_REGISTERS_GPA + IVSHMEM_DOORBELL, end->ring,
                                            end->doorbell_fd, error);
}

static void ivshmem_release(struct transport_device *device)
{
    struct ivshmem *ivshmem = (struct ivshmem *)device;
    for (uint32_t id = 0; id < ARRAY_COUNT(ivshmem->ends); id++) {
        guest_memory_window_release(ivshmem->ends[id].page, LAYOUT_HUGE_PAGE_LEN);
        if (ivshmem->ends[id].doorbell_fd >= 0) {
            close(ivshmem->ends[id].doorbell_fd);
        }
    }
    guest_memory_window_release(ivshmem->reader_part, IVSHMEM_READER_LEN);
    guest_memory_window_release(ivshmem->writer_part, LAYOUT_HUGE_PAGE_LEN);
    free(ivshmem);
}

static bool ivshmem_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                         struct error *error)
{
    struct ivshmem *ivshmem = calloc(1, sizeof(*ivshmem));
    if (ivshmem == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    ivshmem->device.operations = &ivshmem_device;
    struct end *reader = &ivshmem->ends[IVSHMEM_READER_ID];
    struct end *writer = &ivshmem->ends[IVSHMEM_WRITER_ID];
    *reader = (struct end){
        .machine = setup->reader,
        .other = setup->machine,
        .ring = IVSHMEM_RING(IVSHMEM_WRITER_ID, IVSHMEM_VECTOR),
        .doorbell_fd = -1,
    };
    *writer = (struct end){
        .machine = setup->machine,
        .other = setup->reader,
        .ring = IVSHMEM_RING(IVSHMEM_READER_ID, IVSHMEM_VECTOR),
        .doorbell_fd = -1,
    };
    /* On the threads of the disks of those who are woken: when one waits for the other machine, its disk is idle. */
    bool is_made = memory_make(ivshmem, error) && windows_add(ivshmem, IVSHMEM_READER_ID, setup->reader_boot, error) &&
                   windows_add(ivshmem, IVSHMEM_WRITER_ID, setup->boot, error) &&
                   doorbell_make(reader, setup->far_thread, setup->use_ioeventfd, error) &&
                   doorbell_make(writer, setup->thread, setup->use_ioeventfd, error);
    if (!is_made) {
        ivshmem_release(&ivshmem->device);
        return false;
    }
    *ret_device = &ivshmem->device;
    return true;
}

const struct transport_device_operations ivshmem_device = {
    .shared_len = IVSHMEM_READER_LEN + IVSHMEM_WRITER_LEN,
    .make = ivshmem_make,
    .release = ivshmem_release,
};
