/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/futex.h>

#include "abi/mailbox.h"
#include "host/vmm/engines/process_stub/stub.h"
#include "host/vmm/engines/process_stub/stub_calls.h"

static struct mailbox *mailbox_of(uint32_t vcpu)
{
    return (struct mailbox *)(uintptr_t)LAYOUT_MAILBOX_GPA((uint64_t)vcpu);
}

void stub_gate_wait(uint32_t vcpu)
{
    struct mailbox *mailbox = mailbox_of(vcpu);
    /* Not a private futex: the waker is another process. Ends when the host answers. */
    while (__atomic_load_n(&mailbox->state, __ATOMIC_ACQUIRE) == MAILBOX_REQUESTED) {
        call4(SYS_futex, pointer(&mailbox->state), FUTEX_WAIT, MAILBOX_REQUESTED, 0);
    }
}

/* The linker script puts this first. */
__attribute__((section(".text.gate"))) void stub_gate(uint32_t vcpu)
{
    uint64_t one = 1;
    __atomic_store_n(&mailbox_of(vcpu)->state, MAILBOX_REQUESTED, __ATOMIC_RELEASE);
    call3(SYS_write, (uint64_t)STUB_FD_EVENT(vcpu), pointer(&one), sizeof(one));
    stub_gate_wait(vcpu);
}
