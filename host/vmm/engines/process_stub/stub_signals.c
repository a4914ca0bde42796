/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signals by which the kernel ends a program for what its instructions did. The handler notes what happened
 * and ends the process; it never returns, so no guest instruction follows a fault.
 *
 * It runs in the guest's address space, and the guest may have prepared anything there: what it reports is
 * believed no more than what the guest itself says.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

#include "host/vmm/engines/process_stub/stub.h"
#include "host/vmm/engines/process_stub/stub_calls.h"

/* Room for a frame with the largest register state of today, AVX-512 and AMX: about 12 KiB. */
#define SIGNAL_STACK_LEN 32768u
/* As the kernel has it (arch/x86/include/uapi/asm/signal.h); libc hides it. */
#define SIGNAL_FLAG_RESTORER 0x04000000ul
#define SIGNAL_SET_LEN 8u
#define PAGE_FAULT 14 /* the processor's exception number */

struct kernel_sigaction {
    void (*handler)(int signal_number, siginfo_t *info, void *context);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static uint8_t signal_stacks[LAYOUT_VCPU_MAX][SIGNAL_STACK_LEN] __attribute__((aligned(4096)));

static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS};

/* By the stack that it is on: FS base is the guest's to change. */
static uint32_t vcpu_find(void)
{
    uint64_t off = pointer(__builtin_frame_address(0)) - pointer(signal_stacks);
    return off < sizeof(signal_stacks) ? (uint32_t)(off / SIGNAL_STACK_LEN) : 0;
}

static NO_RETURN void on_signal(int signal_number, siginfo_t *info, void *context)
{
    struct stub_report *report = (struct stub_report *)LAYOUT_REPORT_GPA;
    const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
    uint32_t none = STUB_REPORT_NONE;
    if (__atomic_compare_exchange_n(&report->state, &none, STUB_REPORT_CLAIMED, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        report->vcpu = vcpu_find();
        report->signal = signal_number;
        report->instruction_address = (uint64_t)registers[REG_RIP];
        if (signal_number == SIGSYS) {
            report->call_number = info->si_syscall;
            report->call_architecture = info->si_arch;
        } else {
            report->trap = (uint32_t)registers[REG_TRAPNO];
            report->fault_address = report->trap == PAGE_FAULT ? (uint64_t)registers[REG_CR2] : 0;
        }
        __atomic_store_n(&report->state, STUB_REPORT_COMPLETE, __ATOMIC_RELEASE);
    }
    /* Another vCPU's report may be half written; then the engine has less to say. */
    process_exit();
}

/* The kernel wants an address to return to, and the handler does not return. */
static NO_RETURN void on_return(void)
{
    process_exit();
}

static uint64_t signal_bit(int signal_number)
{
    return 1ull << (signal_number - 1);
}

long stub_signals_catch(void)
{
    struct kernel_sigaction usual = {.handler = NULL};
    struct kernel_sigaction action = {
        .handler = on_signal,
        .flags = SA_SIGINFO | SA_ONSTACK | SIGNAL_FLAG_RESTORER,
        .restorer = on_return,
        .mask = ~0ull,
    };
    /*
     * All others stay blocked, as Ctrl-C is the host's business; except that a limit of processor time, which
     * comes with the process, ends it.
     */
    uint64_t blocked = ~signal_bit(SIGXCPU);
    for (unsigned int i = 0; i < ARRAY_COUNT(caught); i++) {
        long result = call4(SYS_rt_sigaction, (uint64_t)caught[i], pointer(&action), 0, SIGNAL_SET_LEN);
        if (result < 0) {
            return result;
        }
        blocked &= ~signal_bit(caught[i]);
    }
    long result = call4(SYS_rt_sigaction, SIGXCPU, pointer(&usual), 0, SIGNAL_SET_LEN);
    if (result < 0) {
        return result;
    }
    return call4(SYS_rt_sigprocmask, SIG_SETMASK, pointer(&blocked), 0, SIGNAL_SET_LEN);
}

long stub_signals_use_own_stack(uint32_t vcpu)
{
    stack_t stack = {.ss_sp = signal_stacks[vcpu], .ss_size = SIGNAL_STACK_LEN};
    return call3(SYS_sigaltstack, pointer(&stack), 0, 0);
}
