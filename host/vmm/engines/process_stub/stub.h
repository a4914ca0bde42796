/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the stub share. */
#ifndef INSTAR_HOST_VMM_ENGINES_PROCESS_STUB_STUB_H
#define INSTAR_HOST_VMM_ENGINES_PROCESS_STUB_STUB_H

#include <linux/filter.h>
#include <stdint.h>

#include "base/attributes.h"
#include "host/vmm/engines/process_stub/stub_abi.h"

/* stub_entry.S: the process begins here, on a stack of the stub's own. */
NO_RETURN void stub_main(void);
/* A vCPU's thread begins here, on its guest stack, its FS base set. */
NO_RETURN void stub_thread_main(uint32_t vcpu);

/* Like clone(2), with the new thread in stub_thread_main(vcpu). */
long stub_thread_create(uint64_t flags, uint64_t stack_top, uint64_t fs_base, uint32_t vcpu);
/* Becomes the guest: no register keeps anything of the stub. */
NO_RETURN void stub_enter(const struct stub_vcpu *vcpu);

/* stub_gate.c: at LAYOUT_GATE_GPA, for guests; see abi/mailbox.h. */
void stub_gate(uint32_t vcpu);
/* Sleeps until the host has answered. */
void stub_gate_wait(uint32_t vcpu);

/* stub_signals.c: faults and forbidden calls end in the report. All return 0 or -errno. */
long stub_signals_catch(void);
long stub_signals_use_own_stack(uint32_t vcpu);

#define STUB_FILTER_MAX 64u

/* stub_filter.c: the guest's system calls: those of the gate, and the exit. */
struct stub_filter {
    uint16_t count;
    struct sock_filter instructions[STUB_FILTER_MAX];
};

void stub_filter_make(struct stub_filter *ret_filter, uint32_t vcpu_count);
/* Puts it on all threads, for good. Returns 0, a thread that it cannot be put on, or -errno. */
long stub_filter_install(uint32_t vcpu_count);

#endif
