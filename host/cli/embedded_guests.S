/* SPDX-License-Identifier: Apache-2.0 */
/* The build defines EMBEDDED_COPY as the path of build/guests/copy.bin, quoted. */

        .section .rodata
        .balign 16
        .globl  embedded_copy_start
        .globl  embedded_copy_end
embedded_copy_start:
        .incbin EMBEDDED_COPY
embedded_copy_end:

        .section .note.GNU-stack, "", @progbits
