/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On pages of their own, so that these can become the guest's (guest_memory_move_in).
 *
 * The build defines EMBEDDED_COPY and EMBEDDED_IMAGE as the paths of copy.bin and image.bin, quoted.
 */

        .section .rodata
        .balign 4096
        .globl  embedded_copy_start
        .globl  embedded_copy_end
embedded_copy_start:
        .incbin EMBEDDED_COPY
embedded_copy_end:

        .balign 4096
        .globl  embedded_image_start
        .globl  embedded_image_end
embedded_image_start:
        .incbin EMBEDDED_IMAGE
embedded_image_end:
        .balign 4096

        .section .note.GNU-stack, "", @progbits
