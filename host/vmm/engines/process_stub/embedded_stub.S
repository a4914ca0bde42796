/* SPDX-License-Identifier: Apache-2.0 */
/* The build defines EMBEDDED_STUB as the path of the stub, quoted. */

        .section .rodata
        .balign 16
        .globl  embedded_stub_start
        .globl  embedded_stub_end
embedded_stub_start:
        .incbin EMBEDDED_STUB
embedded_stub_end:

        .section .note.GNU-stack, "", @progbits
