/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the KVM engine share. */
#ifndef INSTAR_HOST_VMM_ENGINES_KVM_PRIVATE_H
#define INSTAR_HOST_VMM_ENGINES_KVM_PRIVATE_H

#include <linux/kvm.h>
#include <stddef.h>

#include "abi/layout.h"
#include "host/vmm/engine.h"
#include "host/vmm/page_tables.h"

struct kvm_vcpu {
    int fd;
    int statistics_fd;      /* -1: the kernel keeps none */
    struct kvm_run *run;    /* shared with the kernel, never with the guest; see kvm.is_writable */
    uint8_t access_data[8]; /* of the last memory-mapped access */
    bool has_answer;        /* it is a load, for which access_data is the answer */
    unsigned int retries;   /* of KVM_RUN, one after another */
};

struct kvm {
    struct engine engine;
    int system_fd; /* /dev/kvm; closed once the machine is made */
    int vm_fd;
    int statistics_fd;         /* -1: the kernel keeps none */
    struct page_tables tables; /* in low memory */
    size_t run_len;            /* bytes of each vCPU's mapping */
    /*
     * The first page of each vCPU's mapping can be written to: where loads from a bus are answered, or registers go
     * back. In all other machines it cannot, from `seal` on, as whoever took this process over could have KVM_RUN set
     * the vCPU's special registers from there (kvm_dirty_regs), and so run the guest in ring 0.
     */
    bool is_writable;
    const struct guest_memory *memory; /* the caller's */
    bool has_interrupts;
    unsigned int processor_level;
    unsigned int added_count; /* memory slots of kvm_add_memory */
    unsigned int vcpu_count;
    struct kvm_vcpu vcpus[LAYOUT_VCPU_MAX];
    struct kvm_coalesced_mmio_ring *coalesced; /* one per machine, in the first vCPU's mapping */
};

/* Before the start: the pages of KVM_RUN stay writable, and so the threads of vCPUs are stopped through them. */
static inline void kvm_leave_writable(struct kvm *kvm)
{
    kvm->is_writable = true;
    kvm->engine.holds_kicks = false;
}

bool kvm_vcpu_reset(struct engine *engine, unsigned int vcpu, const struct vcpu_start *start, struct error *error);
bool kvm_vcpu_begin(struct engine *engine, unsigned int vcpu, struct error *error);
bool kvm_vcpu_run(struct engine *engine, unsigned int vcpu, struct vcpu_exit *ret_exit, struct error *error);
bool kvm_registers_share(struct engine *engine, struct error *error);
void kvm_registers_get(struct engine *engine, unsigned int vcpu, struct vcpu_registers *ret_registers);
void kvm_registers_set(struct engine *engine, unsigned int vcpu, const struct vcpu_registers *registers);
void kvm_vcpu_interrupt(struct engine *engine, unsigned int vcpu);
/* From here on the vCPU's first page is read-only, and signals end KVM_RUN that are blocked outside of it. */
bool kvm_vcpu_seal(struct kvm *kvm, unsigned int index, struct error *error);

/* kvm_interrupts.c, in this order: before there are vCPUs; when there is memory; for vCPU 0's registers, and behind
 * that. */
bool kvm_interrupts_create(struct kvm *kvm, struct error *error);
bool kvm_interrupts_attach(struct kvm *kvm, const struct guest_memory *memory, int event_fd, struct error *error);
void kvm_interrupts_prepare(struct kvm_sregs *sregs);
bool kvm_interrupts_enable(struct kvm *kvm, unsigned int vcpu, struct error *error);
/* Where the guest was: not in the handler, which may have ended the machine on its account. */
uint64_t kvm_interrupts_position(const struct kvm *kvm, const struct kvm_regs *regs);

/* Opens the kernel's counters while that is still possible: later, only KVM_RUN and the like are. */
void kvm_statistics_open(struct kvm *kvm);
bool kvm_statistics(struct engine *engine, engine_statistic_handler handler, void *context);

#endif
