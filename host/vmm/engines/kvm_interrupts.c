/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts, for machines that are made with an interrupt descriptor. An eventfd becomes a message-signalled interrupt
 * of vCPU 0 (irqfd, GSI routing), whose handler says that it came (kvm_interrupt_code.S). A guest in ring 3 sleeps by
 * hlt.
 *
 * What it takes lies in low memory, out of ring 3's reach, which is all that makes this different from a machine
 * without: tables of descriptors (Intel SDM volume 3, 3.5 and 6.14), a stack for ring 0, and the handler. The other
 * vCPUs have no interrupt table.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/vmm/engines/kvm_interrupt_code.h"
#include "host/vmm/engines/kvm_private.h"

/* Behind those that a split controller has for pins of its own. */
#define GSI 24
#define PIN_COUNT 24
#define VECTOR 0x40
#define VECTOR_GENERAL_PROTECTION 13
/* A message to the local controller with identifier 0, fixed delivery, edge triggered (11.11). */
#define MESSAGE_ADDRESS 0xfee00000u

/* Offsets in the page of tables. */
#define GLOBAL_TABLE_OFF 0u
#define INTERRUPT_TABLE_OFF 0x100u
#define GLOBAL_TABLE_LEN 0x40u
#define INTERRUPT_TABLE_LEN ((VECTOR + 1) * 16u)

/* Descriptors as selectors of kvm_vcpu.c have them: ring 0 code, ring 3 code and data. */
#define SELECTOR_CODE_0 0x08u
#define DESCRIPTOR_CODE_0 0x00af9b000000ffffull
#define DESCRIPTOR_CODE_3 0x00affb000000ffffull
#define DESCRIPTOR_DATA_3 0x00cff3000000ffffull

/* Present interrupt gate of 64 bits, for the processor only: ring 3 cannot call it. */
#define GATE_INTERRUPT 0x8e00u

/* APIC base: enabled, x2APIC, the processor that boots. Spurious vector register: enabled, vector 255. */
#define APIC_BASE 0xfee00d00ull
#define APIC_SPURIOUS_OFF 0xf0u
#define APIC_ENABLED 0x1ffu

/* Where the task state has the stack of ring 0 (8.7). */
#define TASK_STATE_RSP0_OFF 4u

_Static_assert(INTERRUPT_PENDING == LAYOUT_INTERRUPT_PENDING_GPA, "the handler knows where");

extern const uint8_t kvm_interrupt_code_start[], kvm_interrupt_code_fault[], kvm_interrupt_code_end[];

static bool failed(struct error *error, const char *what)
{
    return error_set(error, ERROR_HOST, "/dev/kvm", "cannot set up interrupts: %s: %s", what, strerror(errno));
}

bool kvm_interrupts_create(struct kvm *kvm, struct error *error)
{
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {PIN_COUNT}};
    return ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &split) == 0 || failed(error, "a controller");
}

static void gate_set(uint8_t *tables, unsigned int vector, uint64_t handler_gpa)
{
    uint8_t *gate = tables + INTERRUPT_TABLE_OFF + 16u * vector;
    uint16_t low[] = {(uint16_t)handler_gpa, SELECTOR_CODE_0, GATE_INTERRUPT, (uint16_t)(handler_gpa >> 16)};
    uint32_t high[] = {(uint32_t)(handler_gpa >> 32), 0};
    memcpy(gate, low, sizeof(low));
    memcpy(gate + sizeof(low), high, sizeof(high));
}

static void tables_write(const struct guest_memory *memory)
{
    uint8_t *tables = guest_memory_low(memory, LAYOUT_INTERRUPT_TABLES_GPA, LAYOUT_PAGE_LEN);
    uint64_t descriptors[] = {0, DESCRIPTOR_CODE_0, 0, DESCRIPTOR_CODE_3, DESCRIPTOR_DATA_3};
    memcpy(tables + GLOBAL_TABLE_OFF, descriptors, sizeof(descriptors));
    gate_set(tables, VECTOR, LAYOUT_INTERRUPT_CODE_GPA);
    gate_set(tables, VECTOR_GENERAL_PROTECTION,
             LAYOUT_INTERRUPT_CODE_GPA + (uint64_t)(kvm_interrupt_code_fault - kvm_interrupt_code_start));
    memcpy(guest_memory_low(memory, LAYOUT_INTERRUPT_CODE_GPA, LAYOUT_PAGE_LEN), kvm_interrupt_code_start,
           (size_t)(kvm_interrupt_code_end - kvm_interrupt_code_start));
    /* Those of its bytes that are not zero are in the I/O bitmap, too: they deny some ports below 0x60, where no device
     * is. */
    uint64_t stack_gpa = LAYOUT_INTERRUPT_STACK_GPA + LAYOUT_PAGE_LEN;
    memcpy(guest_memory_low(memory, LAYOUT_TASK_STATE_GPA, LAYOUT_TASK_STATE_LEN) + TASK_STATE_RSP0_OFF, &stack_gpa,
           sizeof(stack_gpa));
}

static bool eventfd_attach(struct kvm *kvm, int event_fd, struct error *error)
{
    union {
        struct kvm_irq_routing head;
        uint8_t storage[sizeof(struct kvm_irq_routing) + sizeof(struct kvm_irq_routing_entry)];
    } routing = {0};
    routing.head.nr = 1;
    routing.head.entries[0] = (struct kvm_irq_routing_entry){
        .gsi = GSI,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = MESSAGE_ADDRESS, .data = VECTOR},
    };
    struct kvm_irqfd irqfd = {.fd = (uint32_t)event_fd, .gsi = GSI};
    return (ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, &routing) == 0 || failed(error, "routing")) &&
           (ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd) == 0 || failed(error, "an irqfd"));
}

bool kvm_interrupts_attach(struct kvm *kvm, const struct guest_memory *memory, int event_fd, struct error *error)
{
    tables_write(memory);
    return page_tables_map(&kvm->tables, LAYOUT_INTERRUPT_TABLES_GPA, LAYOUT_PAGE_LEN, PAGE_SUPERVISOR, error) &&
           page_tables_map(&kvm->tables, LAYOUT_INTERRUPT_STACK_GPA, LAYOUT_PAGE_LEN, PAGE_SUPERVISOR, error) &&
           page_tables_map(&kvm->tables, LAYOUT_INTERRUPT_CODE_GPA, LAYOUT_PAGE_LEN, PAGE_SUPERVISOR_EXECUTE, error) &&
           page_tables_map(&kvm->tables, LAYOUT_INTERRUPT_PENDING_GPA, LAYOUT_PAGE_LEN, PAGE_READ_WRITE, error) &&
           eventfd_attach(kvm, event_fd, error);
}

void kvm_interrupts_prepare(struct kvm_sregs *sregs)
{
    sregs->gdt =
        (struct kvm_dtable){.base = LAYOUT_INTERRUPT_TABLES_GPA + GLOBAL_TABLE_OFF, .limit = GLOBAL_TABLE_LEN - 1};
    sregs->idt = (struct kvm_dtable){.base = LAYOUT_INTERRUPT_TABLES_GPA + INTERRUPT_TABLE_OFF,
                                     .limit = INTERRUPT_TABLE_LEN - 1};
    sregs->apic_base = APIC_BASE;
}

bool kvm_interrupts_enable(struct kvm *kvm, unsigned int vcpu, struct error *error)
{
    struct kvm_lapic_state state;
    int fd = kvm->vcpus[vcpu].fd;
    if (ioctl(fd, KVM_GET_LAPIC, &state) != 0) {
        return failed(error, "the local controller");
    }
    uint32_t spurious = APIC_ENABLED;
    memcpy(state.regs + APIC_SPURIOUS_OFF, &spurious, sizeof(spurious));
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    return (ioctl(fd, KVM_SET_LAPIC, &state) == 0 || failed(error, "the local controller")) &&
           (ioctl(fd, KVM_SET_MP_STATE, &runnable) == 0 || failed(error, "the state of a vCPU"));
}

uint64_t kvm_interrupts_position(const struct kvm *kvm, const struct kvm_regs *regs)
{
    uint64_t rip;
    const uint64_t frame_off = 16; /* kvm_interrupt_code.S, at ud2 */
    uint64_t len = LAYOUT_PAGE_LEN - frame_off - sizeof(rip);
    if (regs->rip - LAYOUT_INTERRUPT_CODE_GPA >= LAYOUT_PAGE_LEN || regs->rsp - LAYOUT_INTERRUPT_STACK_GPA > len) {
        return regs->rip;
    }
    memcpy(&rip, guest_memory_low(kvm->memory, regs->rsp + frame_off, sizeof(rip)), sizeof(rip));
    return rip;
}
