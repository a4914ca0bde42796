/* SPDX-License-Identifier: Apache-2.0 */
/* The build defines EMBEDDED_COPY and EMBEDDED_IMAGE as the paths of copy.bin and image.bin, quoted. */

        .section .rodata
        .balign 16
        .globl  embedded_copy_start
        .globl  embedded_copy_end
embedded_copy_start:
        .incbin EMBEDDED_COPY
embedded_copy_end:

        .balign 16
        .globl  embedded_image_start
        .globl  embedded_image_end
embedded_image_start:
        .incbin EMBEDDED_IMAGE
embedded_image_end:

        .section .note.GNU-stack, "", @progbits
