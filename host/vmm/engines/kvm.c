/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM engine: the virtual machine, its memory slots, doorbells and coalesced writes.
 *
 * Only a machine that asks for interrupts has a controller for them (kvm_interrupts.c): without one every vCPU is
 * runnable from the start and hlt comes back to us.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/vmm/engines/kvm_private.h"

/* The only version there ever was (Documentation/virt/kvm/api.rst, KVM_GET_API_VERSION). */
#define API_VERSION 12

/* Entries of the ring of coalesced writes, which fills one page. */
#define COALESCED_MAX ((LAYOUT_PAGE_LEN - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

enum {
    SLOT_LOW, /* and data memory behind it, if that may be (has_data_behind_low) */
    SLOT_REGISTERS,
    SLOT_DATA,
    SLOT_ADDED, /* and up */
};

static void descriptor_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void kvm_release(struct engine *engine)
{
    struct kvm *kvm = (struct kvm *)engine;
    for (unsigned int i = 0; i < kvm->vcpu_count; i++) {
        if (kvm->vcpus[i].run != NULL) {
            munmap(kvm->vcpus[i].run, kvm->run_len);
        }
        descriptor_close(&kvm->vcpus[i].statistics_fd);
        descriptor_close(&kvm->vcpus[i].fd);
    }
    descriptor_close(&kvm->statistics_fd);
    descriptor_close(&kvm->vm_fd);
    descriptor_close(&kvm->system_fd);
    free(kvm);
}

static bool device_open(int *ret_fd, struct error *error)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_HOST, "/dev/kvm", strerror(errno));
    }
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != API_VERSION) {
        close(fd);
        return error_set(error, ERROR_HOST, "/dev/kvm", "unknown interface version %d", version);
    }
    *ret_fd = fd;
    return true;
}

/* What create would stumble over; a virtual machine is not made, as that costs a tenth of a whole `info`. */
static bool kvm_probe(struct error *ret_reason)
{
    static const struct {
        int number;
        const char *noun;
    } needed[] = {
        {KVM_CAP_READONLY_MEM, "read-only memory"},
        {KVM_CAP_IOEVENTFD, "ioeventfd"},
        {KVM_CAP_COALESCED_MMIO, "coalesced writes to registers"},
        {KVM_CAP_COALESCED_PIO, "coalesced writes to ports"},
    };
    int fd;
    RETURN_IF_FAILED(device_open(&fd, ret_reason));
    bool has_all = true;
    for (unsigned int i = 0; i < ARRAY_COUNT(needed) && has_all; i++) {
        has_all = ioctl(fd, KVM_CHECK_EXTENSION, needed[i].number) > 0 ||
                  error_set(ret_reason, ERROR_HOST, "/dev/kvm", "the kernel does not have %s", needed[i].noun);
    }
    close(fd);
    return has_all;
}

static bool system_open(struct kvm *kvm, struct error *error)
{
    RETURN_IF_FAILED(device_open(&kvm->system_fd, error));
    kvm->vm_fd = ioctl(kvm->system_fd, KVM_CREATE_VM, 0);
    if (kvm->vm_fd < 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot create a virtual machine: %s", strerror(errno));
    }
    int run_len = ioctl(kvm->system_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_len <= 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot size a vCPU: %s", strerror(errno));
    }
    kvm->run_len = (size_t)run_len;
    return true;
}

static bool slot_add(struct kvm *kvm, uint32_t slot, uint32_t flags, uint64_t gpa, uint8_t *host, uint64_t len,
                     struct error *error)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = gpa,
        .memory_size = len,
        .userspace_addr = (uintptr_t)host,
    };
    if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) != 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot give memory to the virtual machine: %s",
                         strerror(errno));
    }
    return true;
}

/*
 * With each slot the kernel waits until nobody uses the slots before it, for milliseconds where processors are busy. So
 * data memory that lies behind low memory in this process does so in the machine, too, in one slot: page tables put it
 * where the guest has it. What comes next there are windows of transports.
 */
static bool has_data_behind_low(const struct guest_memory *memory)
{
    return memory->data == memory->low + LAYOUT_LOW_LEN &&
           memory->data_len <= LAYOUT_WINDOW_DATA_GPA - (LAYOUT_LOW_GPA + LAYOUT_LOW_LEN);
}

/* Where in the machine the guest's address is. */
static uint64_t slot_gpa(const struct guest_memory *memory, uint64_t address)
{
    bool is_moved = address >= LAYOUT_DATA_GPA && has_data_behind_low(memory);
    return is_moved ? address - LAYOUT_DATA_GPA + LAYOUT_LOW_GPA + LAYOUT_LOW_LEN : address;
}

static bool slots_add(struct kvm *kvm, const struct guest_memory *memory, struct error *error)
{
    bool is_one = has_data_behind_low(memory);
    uint64_t low_len = LAYOUT_LOW_LEN + (is_one ? memory->data_len : 0);
    RETURN_IF_FAILED(slot_add(kvm, SLOT_LOW, 0, LAYOUT_LOW_GPA, memory->low, low_len, error));
    RETURN_IF_FAILED(is_one || slot_add(kvm, SLOT_DATA, 0, LAYOUT_DATA_GPA, memory->data, memory->data_len, error));
    if (memory->registers_len == 0) {
        return true;
    }
    /* Read-only: a load from a device register is a load from memory, a store exits. */
    return slot_add(kvm, SLOT_REGISTERS, KVM_MEM_READONLY, LAYOUT_REGISTERS_GPA, memory->registers,
                    memory->registers_len, error);
}

static bool vcpu_create(struct kvm *kvm, unsigned int index, struct error *error)
{
    struct kvm_vcpu *vcpu = &kvm->vcpus[index];
    vcpu->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu->fd < 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot create vCPU %u: %s", index, strerror(errno));
    }
    void *run = mmap(NULL, kvm->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot map vCPU %u: %s", index, strerror(errno));
    }
    vcpu->run = run;
    return true;
}

/* Where the ring lies is what KVM_CAP_COALESCED_MMIO answers, in pages. */
static bool coalesced_ring_find(struct kvm *kvm, struct error *error)
{
    int page = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    if (page <= 0 || ((size_t)page + 1) * LAYOUT_PAGE_LEN > kvm->run_len ||
        ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "the kernel cannot coalesce writes");
    }
    kvm->coalesced = (struct kvm_coalesced_mmio_ring *)((uint8_t *)kvm->vcpus[0].run + (size_t)page * LAYOUT_PAGE_LEN);
    return true;
}

static bool machine_make(struct kvm *kvm, const struct guest_memory *memory, const struct engine_setup *setup,
                         struct error *error)
{
    RETURN_IF_FAILED(system_open(kvm, error));
    RETURN_IF_FAILED(!kvm->has_interrupts || kvm_interrupts_create(kvm, error));
    RETURN_IF_FAILED(slots_add(kvm, memory, error));
    page_tables_init(&kvm->tables, guest_memory_low(memory, LAYOUT_PAGE_TABLES_GPA, LAYOUT_PAGE_TABLES_LEN),
                     LAYOUT_PAGE_TABLES_GPA, LAYOUT_PAGE_TABLES_LEN);
    RETURN_IF_FAILED(
        page_tables_map(&kvm->tables, LAYOUT_TASK_STATE_GPA, LAYOUT_TASK_STATE_LEN, PAGE_SUPERVISOR, error));
    for (unsigned int i = 0; i < setup->vcpu_count; i++) {
        kvm->vcpus[i].fd = -1;
        kvm->vcpus[i].statistics_fd = -1;
        kvm->vcpu_count = i + 1;
        RETURN_IF_FAILED(vcpu_create(kvm, i, error));
    }
    RETURN_IF_FAILED(!kvm->has_interrupts || kvm_interrupts_attach(kvm, memory, setup->interrupt_fd, error));
    RETURN_IF_FAILED(coalesced_ring_find(kvm, error));
    if (setup->keeps_statistics) {
        kvm_statistics_open(kvm);
    }
    descriptor_close(&kvm->system_fd);
    return true;
}

static bool kvm_create(const struct guest_memory *memory, const struct engine_setup *setup, struct engine **ret_engine,
                       struct error *error)
{
    struct kvm *kvm = calloc(1, sizeof(*kvm));
    if (kvm == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    kvm->engine.operations = &kvm_engine;
    kvm->engine.holds_kicks = true;
    kvm->system_fd = -1;
    kvm->vm_fd = -1;
    kvm->statistics_fd = -1;
    kvm->memory = memory;
    kvm->has_interrupts = setup->interrupt_fd >= 0;
    kvm->processor_level = setup->processor_level;
    if (!machine_make(kvm, memory, setup, error)) {
        kvm_release(&kvm->engine);
        return false;
    }
    *ret_engine = &kvm->engine;
    return true;
}

static bool kvm_add_memory(struct engine *engine, uint64_t gpa, uint8_t *host, uint64_t len, bool is_read_only,
                           struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    RETURN_IF_FAILED(
        slot_add(kvm, SLOT_ADDED + kvm->added_count, is_read_only ? KVM_MEM_READONLY : 0, gpa, host, len, error));
    kvm->added_count++;
    return true;
}

static bool kvm_map(struct engine *engine, uint64_t gpa, uint64_t len, enum guest_access access, struct error *error)
{
    static const enum page_access pages[] = {
        [GUEST_READ] = PAGE_READ,
        [GUEST_READ_WRITE] = PAGE_READ_WRITE,
        [GUEST_READ_EXECUTE] = PAGE_READ_EXECUTE,
        /* Writable for the processor, so that a store gets as far as the read-only memory slot. */
        [GUEST_REGISTERS] = PAGE_READ_WRITE,
        /* There is no memory slot. */
        [GUEST_BUS] = PAGE_READ_WRITE,
        [GUEST_DOORBELL] = PAGE_READ_WRITE,
    };
    struct kvm *kvm = (struct kvm *)engine;
    if (access == GUEST_BUS) {
        kvm_leave_writable(kvm);
    }
    return page_tables_map_at(&kvm->tables, gpa, slot_gpa(kvm->memory, gpa), len, pages[access], error);
}

/* Everything was made in create. */
static pid_t kvm_guest_process(const struct engine *engine UNUSED)
{
    return 0;
}

/* Likewise. */
static bool kvm_start(struct engine *engine UNUSED, struct error *error UNUSED)
{
    return true;
}

static bool kvm_seal(struct engine *engine, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    for (unsigned int i = 0; i < kvm->vcpu_count && !kvm->is_writable; i++) {
        RETURN_IF_FAILED(kvm_vcpu_seal(kvm, i, error));
    }
    return true;
}

static bool kvm_add_doorbell(struct engine *engine, uint64_t gpa, uint32_t value, int event_fd, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    struct kvm_ioeventfd doorbell = {
        .datamatch = value,
        .addr = gpa,
        .len = 4,
        .fd = event_fd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
    };
    if (ioctl(kvm->vm_fd, KVM_IOEVENTFD, &doorbell) != 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot attach an eventfd to a register: %s", strerror(errno));
    }
    return true;
}

static bool kvm_coalesce_writes(struct engine *engine, bool is_port, uint64_t start, uint32_t len, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    struct kvm_coalesced_mmio_zone zone = {.addr = start, .size = len, .pio = is_port};
    if (ioctl(kvm->vm_fd, KVM_REGISTER_COALESCED_MMIO, &zone) != 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot coalesce writes: %s", strerror(errno));
    }
    return true;
}

/*
 * The kernel fills `last` and we empty `first`; when the ring is full it exits instead. Ends: each round
 * takes an entry, and only as many as were there when we looked.
 */
static bool kvm_drain_writes(struct engine *engine, engine_write_handler handler, void *context, struct error *error)
{
    struct kvm_coalesced_mmio_ring *ring = ((struct kvm *)engine)->coalesced;
    uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) % (uint32_t)COALESCED_MAX;
    uint32_t first = __atomic_load_n(&ring->first, __ATOMIC_RELAXED) % (uint32_t)COALESCED_MAX;
    bool handled = true;
    while (first != last && handled) {
        struct kvm_coalesced_mmio write = ring->coalesced_mmio[first];
        struct bus_access access = {
            .is_write = true,
            .address = write.phys_addr,
            .width = write.len,
            .count = 1,
            .data = write.data,
        };
        handled = handler(context, write.pio != 0, &access, error);
        first = (first + 1) % (uint32_t)COALESCED_MAX;
        __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
    }
    return handled;
}

static uint32_t kvm_tsc_khz(struct engine *engine)
{
    int khz = ioctl(((struct kvm *)engine)->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
    return khz > 0 ? (uint32_t)khz : 0;
}

const struct engine_operations kvm_engine = {
    .name = "kvm",
    .platform = BOOT_PLATFORM_PORTS,
    .probe = kvm_probe,
    .create = kvm_create,
    .map = kvm_map,
    .add_memory = kvm_add_memory,
    .vcpu_reset = kvm_vcpu_reset,
    .start = kvm_start,
    .vcpu_begin = kvm_vcpu_begin,
    .seal = kvm_seal,
    .guest_process = kvm_guest_process,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_interrupt = kvm_vcpu_interrupt,
    .add_doorbell = kvm_add_doorbell,
    .coalesce_writes = kvm_coalesce_writes,
    .tsc_khz = kvm_tsc_khz,
    .drain_writes = kvm_drain_writes,
    .registers_share = kvm_registers_share,
    .registers_get = kvm_registers_get,
    .registers_set = kvm_registers_set,
    .statistics = kvm_statistics,
    .release = kvm_release,
};
