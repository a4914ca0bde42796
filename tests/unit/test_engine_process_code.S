/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guests of test_engine_process.c execute: pieces of code that work at any address. Their parameters are
 * 64-bit words at LAYOUT_DATA_GPA.
 */
#define DATA 0x100000000
#define MAILBOX 0x70000
#define REPORT 0x80000
#define GATE 0x700000000000

        .section .rodata
        .macro  piece name
        .globl  code_\name
code_\name:
        .endm
        .macro  end name
        .globl  code_\name\()_end
code_\name\()_end:
        .endm

/* A system call: number and six arguments; its result replaces the number. */
        piece   call
        movabsq $DATA, %rbx
        movq    (%rbx), %rax
        movq    8(%rbx), %rdi
        movq    16(%rbx), %rsi
        movq    24(%rbx), %rdx
        movq    32(%rbx), %r10
        movq    40(%rbx), %r8
        movq    48(%rbx), %r9
        syscall
        movq    %rax, (%rbx)
        hlt
        end     call

/* The same by the gate of 32-bit programs. */
        piece   call_32
        movabsq $DATA, %rbp
        movl    (%rbp), %eax
        movl    8(%rbp), %ebx
        movl    16(%rbp), %ecx
        movl    24(%rbp), %edx
        movl    32(%rbp), %esi
        movl    40(%rbp), %edi
        int     $0x80
        hlt
        end     call_32

/* Where kernels had system calls before there was a vDSO: time(). */
        piece   call_old
        movq    $0xffffffffff600400, %rax
        xorl    %edi, %edi
        call    *%rax
        hlt
        end     call_old

/* Requests without end: the page at DATA + 4096 into the mailbox, through the gate, the mailbox to DATA + 8192. */
        piece   request
        movl    %esi, %r13d
        shll    $12, %esi
        leal    MAILBOX(%rsi), %ebx
1:      movabsq $DATA + 4096 + 4, %rsi
        leaq    4(%rbx), %rdi
        movl    $4092, %ecx
        rep movsb
        movabsq $GATE, %rax
        movl    %r13d, %edi
        call    *%rax
        leaq    4(%rbx), %rsi
        movabsq $DATA + 8192 + 4, %rdi
        movl    $4092, %ecx
        rep movsb
        jmp     1b
        end     request

/* Counts the eventfd (descriptor 3) up as far as it goes, and down to nothing, then makes requests. */
        piece   ring
        pushq   %rsi
        movq    $0xfffffffffffffffe, %rax
        pushq   %rax
        movl    $1000, %ebx
1:      movl    $1, %eax
        movl    $3, %edi
        movq    %rsp, %rsi
        movl    $8, %edx
        syscall
        decl    %ebx
        jnz     1b
        popq    %rax
        popq    %rsi
        end     ring
/* Falls through to a copy of `request`: the test puts it there. */

        piece   spin
1:      pause
        jmp     1b
        end     spin

        piece   undefined
        ud2
        end     undefined

        piece   breakpoint
        int3
        end     breakpoint

        piece   divide
        xorl    %edx, %edx
        xorl    %ecx, %ecx
        movl    $1, %eax
        divl    %ecx
        end     divide

        piece   halt
        hlt
        end     halt

        piece   no_interrupts
        cli
        end     no_interrupts

        piece   port
        movl    $0x3f8, %edx
        outb    %al, %dx
        end     port

        piece   not_canonical
        movabsq $0x800000000000, %rax
        movq    (%rax), %rax
        end     not_canonical

        piece   load
        movabsq $DATA, %rax
        movq    (%rax), %rax
        movb    (%rax), %al
        hlt
        end     load

        piece   store
        movabsq $DATA, %rax
        movq    (%rax), %rax
        movb    %al, (%rax)
        hlt
        end     store

        piece   jump
        movabsq $DATA, %rax
        jmp     *(%rax)
        end     jump

/* No stack to put a signal's frame on: inside of the page that cannot be written, as the alternate one is in use. */
        piece   no_stack
        movabsq $DATA, %rax
        movq    (%rax), %rsp
        ud2
        end     no_stack

/* A report that says what no guest of ours would, then an end without one. */
        piece   forge
        movl    $REPORT, %ebx
        movl    $0xffffffff, 4(%rbx)
        movl    $0xffffffff, 8(%rbx)
        movl    $0xffffffff, 12(%rbx)
        movl    $0xffffffff, 16(%rbx)
        movl    $2, (%rbx)
        movl    $231, %eax
        syscall
        end     forge

/* Says it was a forbidden call by the gate of 32-bit programs, on a vCPU that exists: the number is a parameter. */
        piece   forge_call
        movabsq $DATA, %rbx
        movl    (%rbx), %ecx
        movl    $REPORT, %ebx
        movl    $0, 4(%rbx)
        movl    $31, 8(%rbx)
        movl    %ecx, 12(%rbx)
        movl    $0xffffffff, 16(%rbx)
        movl    $2, (%rbx)
        movl    $231, %eax
        syscall
        end     forge_call

        .section .note.GNU-stack, "", @progbits
