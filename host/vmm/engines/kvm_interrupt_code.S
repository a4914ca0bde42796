/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only guest code that runs in ring 0: copied to a page that ring 3 can neither read nor write, by kvm_interrupts.c.
 * Position independent but for the addresses of the layout. Every instruction counts: some KVMs emulate ring 0.
 */
#include "host/vmm/engines/kvm_interrupt_code.h"

        .section .rodata
        .balign 16
        .globl  kvm_interrupt_code_start, kvm_interrupt_code_end, kvm_interrupt_code_fault
kvm_interrupt_code_start:
        /* The interrupt: it is pending, for the guest to look. Then the end of the interrupt (x2APIC: MSR 0x80b). */
        movl    $1, INTERRUPT_PENDING
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        movl    $0x80b, %ecx
        xorl    %eax, %eax
        xorl    %edx, %edx
        wrmsr
        popq    %rdx
        popq    %rcx
        popq    %rax
        iretq

        /*
         * The general protection fault. Ring 3 causes it by hlt: if no interrupt is pending, wait for one; sti takes effect
         * behind the instruction that follows it, so none is lost in between. Of anything else the guest dies, as it does
         * where it has no handlers: there is none for ud2. On the stack: RAX, error code, RIP, CS, RFLAGS, RSP, SS.
         */
        .balign 16
kvm_interrupt_code_fault:
        pushq   %rax
        movq    16(%rsp), %rax
        cmpb    $0xf4, (%rax)
        jne     2f
        cmpl    $0, INTERRUPT_PENDING
        jne     1f
        sti
        hlt
1:      incq    16(%rsp)
        popq    %rax
        addq    $8, %rsp
        iretq
2:      ud2
kvm_interrupt_code_end:

        .section .note.GNU-stack, "", @progbits
