/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/syscall.h>

        .section .text.start, "ax", @progbits
        .globl  _start
        .type   _start, @function
/* The stack that the kernel made is left, so that it can be unmapped. */
_start:
        xorl    %ebp, %ebp
        leaq    stub_stack_top(%rip), %rsp
        call    stub_main
        ud2
        .size   _start, . - _start

/* (flags, stack_top, fs_base, vcpu): flags and stack are where clone wants them; r9 survives the call. */
        .globl  stub_thread_create
        .type   stub_thread_create, @function
stub_thread_create:
        movl    %ecx, %r9d
        movq    %rdx, %r8
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        movl    $SYS_clone, %eax
        syscall
        testq   %rax, %rax
        jnz     1f
        xorl    %ebp, %ebp
        movl    %r9d, %edi
        call    stub_thread_main
        ud2
1:      ret
        .size   stub_thread_create, . - stub_thread_create

/* (vcpu): struct stub_vcpu has entry, stack top, thread block and two arguments, 8 bytes each. */
        .globl  stub_enter
        .type   stub_enter, @function
stub_enter:
        movq    (%rdi), %rax
        movq    8(%rdi), %rsp
        movq    32(%rdi), %rsi
        movq    24(%rdi), %rdi
        xorl    %ebx, %ebx
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        xorl    %ebp, %ebp
        xorl    %r8d, %r8d
        xorl    %r9d, %r9d
        xorl    %r10d, %r10d
        xorl    %r11d, %r11d
        xorl    %r12d, %r12d
        xorl    %r13d, %r13d
        xorl    %r14d, %r14d
        xorl    %r15d, %r15d
        cld
        jmp     *%rax
        .size   stub_enter, . - stub_enter

        .section .bss.stack, "aw", @nobits
        .balign 4096
        .skip   16384
stub_stack_top:

        .section .note.GNU-stack, "", @progbits
