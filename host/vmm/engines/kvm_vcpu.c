/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of the KVM engine: its first state, in ring 3 of 64-bit mode, and its exits.
 *
 * References are to the Intel SDM volume 3 and to the kernel's Documentation/virt/kvm/api.rst.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/attributes.h"
#include "host/vmm/engines/kvm_features.h"
#include "host/vmm/engines/kvm_private.h"

/* Control registers (2.5): paging, protection, caches on, no FPU traps; PAE, SSE and XSAVE. */
#define CR0_START 0x80050033ull /* PG AM WP NE ET MP PE */
#define CR4_START 0x620ull      /* PAE OSFXSR OSXMMEXCPT */
#define CR4_XSAVE 0x40000ull    /* OSXSAVE, where the processor has it */
#define CR0_PROTECTION 0x1ull
/* Extended features (2.2.1): long mode and no-execute; not SCE, the guest has nobody to call. */
#define EFER_START 0xd00ull
#define XCR0_X87_SSE 0x3ull
#define XCR0_AVX 0x4ull

/* RFLAGS: IOPL 3 and the bit that is always 1. */
#define RFLAGS_START 0x3002ull
#define RFLAGS_INTERRUPTS 0x200ull
/* Segment selectors of ring 3; no table of descriptors stands behind them. */
#define SELECTOR_CODE 0x1b
#define SELECTOR_DATA 0x23
#define SELECTOR_TASK 0x28
#define SEGMENT_CODE 11 /* execute, read, accessed (3.4.5.1) */
#define SEGMENT_DATA 3  /* read, write, accessed */
#define SEGMENT_TASK 11 /* busy 64-bit task state segment (3.5) */

/*
 * The task state segment ends behind its I/O permission bitmap (volume 1, 19.5.2): 104 bytes, 8 KiB of
 * zeros, one more byte. With an I/O map base of 0 in the zeroed segment, the processor finds a zero bit for
 * every port. Which ports exist is the bus's business.
 */
#define TASK_STATE_LIMIT 0x2067

#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
/* Where `syscall` would go if the processor executed it in spite of EFER: canonical, never mapped. */
#define SYSCALL_TARGET_GPA 0x7fffffff0000ull

/* A page fault address that cannot be one: not canonical for ring 3. Tells a page fault from other faults. */
#define NO_FAULT_ADDRESS 0xffffdeadffff0000ull

static bool kvm_failed(struct error *error, unsigned int vcpu, const char *what)
{
    return error_set(error, ERROR_HOST, "/dev/kvm", "vCPU %u: cannot set %s: %s", vcpu, what, strerror(errno));
}

/* A tenth of the time that KVM_GET_SUPPORTED_CPUID takes. */
static bool features_set(struct kvm *kvm, unsigned int index, const struct kvm_features *features, struct error *error)
{
    union {
        struct kvm_cpuid2 head;
        uint8_t storage[sizeof(struct kvm_cpuid2) + KVM_FEATURES_LEAF_MAX * sizeof(struct kvm_cpuid_entry2)];
    } table = {0};
    table.head.nent = features->leaf_count;
    memcpy(table.head.entries, features->leaves, features->leaf_count * sizeof(features->leaves[0]));
    if (ioctl(kvm->vcpus[index].fd, KVM_SET_CPUID2, &table) != 0) {
        return kvm_failed(error, index, "processor features");
    }
    uint64_t states = XCR0_X87_SSE | (features->has_avx ? XCR0_AVX : 0);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = states}}};
    if (features->has_xsave && ioctl(kvm->vcpus[index].fd, KVM_SET_XCRS, &xcrs) != 0) {
        return kvm_failed(error, index, "extended state");
    }
    return true;
}

static struct kvm_segment ring3_segment(uint16_t selector, uint8_t type, bool is_code)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .dpl = 3,
        .db = !is_code,
        .s = 1,
        .l = is_code,
        .g = 1,
    };
}

static bool special_registers_set(struct kvm *kvm, unsigned int index, const struct vcpu_start *start, bool has_xsave,
                                  struct error *error)
{
    int fd = kvm->vcpus[index].fd;
    struct kvm_sregs sregs;
    if (ioctl(fd, KVM_GET_SREGS, &sregs) != 0) {
        return kvm_failed(error, index, "special registers");
    }
    sregs.cs = ring3_segment(SELECTOR_CODE, SEGMENT_CODE, true);
    sregs.ss = ring3_segment(SELECTOR_DATA, SEGMENT_DATA, false);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss;
    sregs.fs.base = start->thread_block_gpa;
    sregs.tr = (struct kvm_segment){
        .base = LAYOUT_TASK_STATE_GPA,
        .limit = TASK_STATE_LIMIT,
        .selector = SELECTOR_TASK,
        .type = SEGMENT_TASK,
        .present = 1,
    };
    sregs.ldt = (struct kvm_segment){.unusable = 1};
    sregs.gdt = (struct kvm_dtable){0};
    sregs.idt = (struct kvm_dtable){0};
    if (kvm->has_interrupts && index == 0) {
        kvm_interrupts_prepare(&sregs);
    }
    sregs.cr0 = CR0_START;
    sregs.cr2 = NO_FAULT_ADDRESS;
    sregs.cr3 = kvm->tables.gpa;
    sregs.cr4 = CR4_START | (has_xsave ? CR4_XSAVE : 0);
    sregs.efer = EFER_START;
    if (ioctl(fd, KVM_SET_SREGS, &sregs) != 0) {
        return kvm_failed(error, index, "special registers");
    }
    return true;
}

static bool system_call_target_set(struct kvm *kvm, unsigned int index, struct error *error)
{
    union {
        struct kvm_msrs head;
        uint8_t storage[sizeof(struct kvm_msrs) + 2 * sizeof(struct kvm_msr_entry)];
    } msrs = {0};
    msrs.head.nmsrs = 2;
    msrs.head.entries[0] = (struct kvm_msr_entry){.index = MSR_LSTAR, .data = SYSCALL_TARGET_GPA};
    msrs.head.entries[1] = (struct kvm_msr_entry){.index = MSR_CSTAR, .data = SYSCALL_TARGET_GPA};
    if (ioctl(kvm->vcpus[index].fd, KVM_SET_MSRS, &msrs) != 2) {
        return kvm_failed(error, index, "model-specific registers");
    }
    return true;
}

bool kvm_vcpu_reset(struct engine *engine, unsigned int vcpu, const struct vcpu_start *start, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    struct kvm_features features;
    kvm_features_make(&features, kvm_features_read_host, kvm->processor_level, kvm->has_interrupts);
    RETURN_IF_FAILED(features_set(kvm, vcpu, &features, error));
    RETURN_IF_FAILED(special_registers_set(kvm, vcpu, start, features.has_xsave, error));
    RETURN_IF_FAILED(system_call_target_set(kvm, vcpu, error));
    RETURN_IF_FAILED(!kvm->has_interrupts || kvm_interrupts_enable(kvm, vcpu, error));
    struct kvm_regs regs = {
        .rip = start->entry_gpa,
        .rsp = start->stack_top_gpa,
        .rdi = start->arguments[0],
        .rsi = start->arguments[1],
        .rflags = RFLAGS_START | (kvm->has_interrupts && vcpu == 0 ? RFLAGS_INTERRUPTS : 0),
    };
    if (ioctl(kvm->vcpus[vcpu].fd, KVM_SET_REGS, &regs) != 0) {
        return kvm_failed(error, vcpu, "registers");
    }
    return true;
}

/* Documentation/virt/kvm/api.rst, KVM_SET_SIGNAL_MASK: the set has the kernel's length. */
#define SIGNAL_SET_LEN 8u

bool kvm_vcpu_seal(struct kvm *kvm, unsigned int index, struct error *error)
{
    union {
        struct kvm_signal_mask head;
        uint8_t storage[sizeof(struct kvm_signal_mask) + SIGNAL_SET_LEN];
    } mask = {.head.len = SIGNAL_SET_LEN};
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    sigdelset(&set, ENGINE_KICK_SIGNAL);
    memcpy(mask.head.sigset, &set, SIGNAL_SET_LEN);
    if (ioctl(kvm->vcpus[index].fd, KVM_SET_SIGNAL_MASK, &mask) != 0) {
        return kvm_failed(error, index, "signals");
    }
    if (mprotect(kvm->vcpus[index].run, LAYOUT_PAGE_LEN, PROT_READ) != 0) {
        return error_set(error, ERROR_HOST, "/dev/kvm", "vCPU %u: cannot protect its page: %s", index, strerror(errno));
    }
    return true;
}

void kvm_vcpu_interrupt(struct engine *engine, unsigned int vcpu)
{
    struct kvm *kvm = (struct kvm *)engine;
    if (!kvm->is_writable) {
        return; /* the signal is held until KVM_RUN, and makes that return */
    }
    /* Makes KVM_RUN return even when the signal arrived before the vCPU's thread entered it. */
    __atomic_store_n(&kvm->vcpus[vcpu].run->immediate_exit, 1, __ATOMIC_RELEASE);
}

/*
 * Where the vCPU stands, for a message. When the kernel does not say, the address stays 0. On AMD's processors nobody
 * knows any more after a shutdown (APM volume 2, 15.14.3), and KVM resets the vCPU: it is out of protected mode then,
 * which a guest of ours cannot leave.
 */
static void position_read(struct kvm *kvm, unsigned int vcpu, struct vcpu_exit *exit)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    if (ioctl(kvm->vcpus[vcpu].fd, KVM_GET_REGS, &regs) == 0) {
        exit->instruction_gpa = kvm->has_interrupts ? kvm_interrupts_position(kvm, &regs) : regs.rip;
    }
    if (ioctl(kvm->vcpus[vcpu].fd, KVM_GET_SREGS, &sregs) != 0) {
        return;
    }
    exit->is_place_lost = (sregs.cr0 & CR0_PROTECTION) == 0;
    exit->has_fault_address = !exit->is_place_lost && sregs.cr2 != NO_FAULT_ADDRESS;
    exit->fault_gpa = exit->has_fault_address ? sregs.cr2 : 0;
}

static void exit_read(struct kvm *kvm, unsigned int vcpu, struct vcpu_exit *exit)
{
    struct kvm_run *run = kvm->vcpus[vcpu].run;
    uint8_t *access_data = kvm->vcpus[vcpu].access_data;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit->kind = VCPU_EXIT_PORT;
        exit->access = (struct bus_access){
            .is_write = run->io.direction == KVM_EXIT_IO_OUT,
            .address = run->io.port,
            .width = run->io.size,
            .count = run->io.count,
            .data = (uint8_t *)run + run->io.data_offset,
            .vcpu = vcpu,
        };
        return;
    case KVM_EXIT_MMIO:
        exit->kind = VCPU_EXIT_REGISTER;
        memcpy(access_data, run->mmio.data, sizeof(run->mmio.data));
        kvm->vcpus[vcpu].has_answer = run->mmio.is_write == 0;
        exit->access = (struct bus_access){
            .is_write = run->mmio.is_write != 0,
            .address = run->mmio.phys_addr,
            .width = run->mmio.len,
            .count = 1,
            .data = access_data,
            .vcpu = vcpu,
        };
        return;
    case KVM_EXIT_INTR:
        exit->kind = VCPU_EXIT_INTERRUPTED;
        return;
    case KVM_EXIT_HLT:
        exit->kind = VCPU_EXIT_HALT;
        break;
    case KVM_EXIT_SHUTDOWN:
        exit->kind = VCPU_EXIT_FAULT;
        break;
    case KVM_EXIT_FAIL_ENTRY:
        exit->kind = VCPU_EXIT_FAILED_ENTRY;
        exit->code = run->fail_entry.hardware_entry_failure_reason;
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        exit->kind = VCPU_EXIT_INTERNAL;
        exit->code = run->internal.suberror;
        break;
    default:
        exit->kind = VCPU_EXIT_UNKNOWN;
        exit->code = run->exit_reason;
        break;
    }
    position_read(kvm, vcpu, exit);
}

/* Where it cannot be given, no load from a bus has an answer that means anything. */
static void answer_give(struct kvm *kvm, unsigned int index)
{
    struct kvm_vcpu *vcpu = &kvm->vcpus[index];
    if (vcpu->has_answer && kvm->is_writable) {
        memcpy(vcpu->run->mmio.data, vcpu->access_data, sizeof(vcpu->run->mmio.data));
    }
    vcpu->has_answer = false;
}

/*
 * With a machine's first KVM_RUN the kernel makes a thread that looks after its large pages (kvm_mmu_post_init_vm,
 * since Linux 6.14). It counts as a process of this user, so that under the jail's RLIMIT_NPROC of 0 each KVM_RUN of
 * anybody but root would end with EAGAIN, for ever. With immediate_exit KVM_RUN returns before the guest is entered.
 */
bool kvm_vcpu_begin(struct engine *engine, unsigned int vcpu, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    if (vcpu != 0) {
        return true;
    }
    kvm->vcpus[vcpu].run->immediate_exit = 1;
    int result = ioctl(kvm->vcpus[vcpu].fd, KVM_RUN, 0);
    int failure = result == 0 ? 0 : errno;
    kvm->vcpus[vcpu].run->immediate_exit = 0;
    return failure == EINTR || error_set(error, ERROR_HOST, "/dev/kvm", "cannot run a vCPU for the first time: %s",
                                         failure == 0 ? "it does not return at once" : strerror(failure));
}

/* What the kernel lacks for a moment it has by then; what it lacks for good would have the vCPU try for ever. */
#define RETRIES_MAX 10000

bool kvm_vcpu_run(struct engine *engine, unsigned int vcpu, struct vcpu_exit *ret_exit, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    struct vcpu_exit exit = {.faulted_vcpu = vcpu};
    answer_give(kvm, vcpu);
    int result = ioctl(kvm->vcpus[vcpu].fd, KVM_RUN, 0);
    unsigned int retries = kvm->vcpus[vcpu].retries;
    kvm->vcpus[vcpu].retries = 0;
    if (result == 0) {
        exit_read(kvm, vcpu, &exit);
    } else if (errno == EINTR) {
        exit.kind = VCPU_EXIT_INTERRUPTED;
    } else if (errno == EAGAIN && retries < RETRIES_MAX) {
        exit.kind = VCPU_EXIT_INTERRUPTED;
        kvm->vcpus[vcpu].retries = retries + 1;
    } else if (errno == EFAULT) {
        /* The guest reached an address that no memory slot backs in a way that cannot be an MMIO access. */
        exit.kind = VCPU_EXIT_FAULT;
        position_read(kvm, vcpu, &exit);
    } else {
        return error_set(error, ERROR_HOST, "/dev/kvm", "cannot run vCPU %u: %s", vcpu, strerror(errno));
    }
    *ret_exit = exit;
    return true;
}
