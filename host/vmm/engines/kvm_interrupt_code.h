/* SPDX-License-Identifier: Apache-2.0 */
/* For the assembler, too, which does not take the numbers of abi/layout.h as they are. */
#ifndef INSTAR_HOST_VMM_ENGINES_KVM_INTERRUPT_CODE_H
#define INSTAR_HOST_VMM_ENGINES_KVM_INTERRUPT_CODE_H

/* LAYOUT_INTERRUPT_PENDING_GPA */
#define INTERRUPT_PENDING 0x1b000

#endif
