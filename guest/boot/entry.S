/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every vCPU begins: ring 3, 64-bit mode, RDI = boot information, RSI = index of the vCPU, RSP = top of
 * its stack, 16-byte aligned (abi/boot_info.h). The two registers are the arguments of runtime_start.
 */
    .section .text.entry, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp /* the outermost frame, for debuggers */
    cld
    call runtime_start
    ud2
    .size _start, . - _start

    .section .note.GNU-stack, "", @progbits
