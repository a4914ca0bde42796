/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport hypercall: calls whose arguments and results are registers (data-transfer-other, "Hypercalls").
 *
 * VMCALL (Intel) and VMMCALL (AMD) themselves do not serve: from ring 3 KVM answers it with KVM_EPERM and tells its
 * user nothing, in ring 0 KVM passes none but MAP_GPA_RANGE on (KVM_CAP_EXIT_HYPERCALL), and KVMs that emulate ring 0
 * do not execute it there. So a call is trapped by a 4-byte write to HYPERCALL_PORT, and the registers are what KVM
 * shows of the vCPU at that exit (KVM_CAP_SYNC_REGS).
 *
 *   EAX      the call, enum hypercall; afterwards RAX: HYPERCALL_OK or HYPERCALL_FAILED
 *   RBX      offset in the file
 *   RCX      length, 1 to HYPERCALL_DATA_LEN
 *   R8..R15  data, in memory order
 */
#ifndef INSTAR_ABI_TRANSPORTS_HYPERCALL_H
#define INSTAR_ABI_TRANSPORTS_HYPERCALL_H

#include "abi/ports.h"

#define HYPERCALL_PORT PORT_TRANSPORT

#define HYPERCALL_DATA_REGISTERS 8u
#define HYPERCALL_DATA_LEN 64u

enum hypercall {
    HYPERCALL_SIZE = 1,    /* R8: the input's length */
    HYPERCALL_READ = 2,    /* from the input */
    HYPERCALL_WRITE = 3,   /* to the output */
    HYPERCALL_FLUSH = 4,   /* the output, to stable storage */
    HYPERCALL_NOTHING = 5, /* a signal alone */
};

/* boot_transport.variant: the instruction that calls the kernel here, and is no fault in a guest. */
enum hypercall_instruction {
    HYPERCALL_INSTRUCTION_NONE,
    HYPERCALL_INSTRUCTION_VMCALL,
    HYPERCALL_INSTRUCTION_VMMCALL,
};

#define HYPERCALL_OK 0u
#define HYPERCALL_FAILED 1u /* the file could not be read or written */

#endif
