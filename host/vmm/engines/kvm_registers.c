/* SPDX-License-Identifier: Apache-2.0 */
/* Registers that come with an exit and go back with the next entry (KVM_CAP_SYNC_REGS): no system call for them. */
#include <sys/ioctl.h>

#include "host/vmm/engines/kvm_private.h"

bool kvm_registers_share(struct engine *engine, struct error *error)
{
    struct kvm *kvm = (struct kvm *)engine;
    int shared = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    if (shared < 0 || (shared & KVM_SYNC_X86_REGS) == 0) {
        return error_set(error, ERROR_UNSUPPORTED, "/dev/kvm",
                         "the kernel does not show a guest's registers at its exits");
    }
    kvm_leave_writable(kvm);
    for (unsigned int i = 0; i < kvm->vcpu_count; i++) {
        kvm->vcpus[i].run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    }
    return true;
}

void kvm_registers_get(struct engine *engine, unsigned int vcpu, struct vcpu_registers *ret_registers)
{
    const struct kvm_regs *regs = &((struct kvm *)engine)->vcpus[vcpu].run->s.regs.regs;
    *ret_registers = (struct vcpu_registers){
        .rax = regs->rax,
        .rbx = regs->rbx,
        .rcx = regs->rcx,
        .data = {regs->r8, regs->r9, regs->r10, regs->r11, regs->r12, regs->r13, regs->r14, regs->r15},
    };
}

void kvm_registers_set(struct engine *engine, unsigned int vcpu, const struct vcpu_registers *registers)
{
    struct kvm_run *run = ((struct kvm *)engine)->vcpus[vcpu].run;
    struct kvm_regs *regs = &run->s.regs.regs;
    regs->rax = registers->rax;
    regs->rbx = registers->rbx;
    regs->rcx = registers->rcx;
    regs->r8 = registers->data[0];
    regs->r9 = registers->data[1];
    regs->r10 = registers->data[2];
    regs->r11 = registers->data[3];
    regs->r12 = registers->data[4];
    regs->r13 = registers->data[5];
    regs->r14 = registers->data[6];
    regs->r15 = registers->data[7];
    run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}
