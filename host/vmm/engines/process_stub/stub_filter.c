/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter that is the guest's wall: signal the host, wait for it, end. Everything else is SIGSYS, whose handler
 * reports the call and ends the process; the call itself is never executed, whatever becomes of the handler.
 *
 * Written as instructions of classic BPF (Documentation/userspace-api/seccomp_filter.rst), as there is no libc
 * here for libseccomp to run on, and it is short. A call is known by its number and its architecture: the 32-bit
 * and x32 calls have other ones.
 */
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "base/attributes.h"
#include "host/vmm/engines/process_stub/stub.h"
#include "host/vmm/engines/process_stub/stub_calls.h"

#define ARGUMENT_LOW(index) (offsetof(struct seccomp_data, args) + 8 * (index))
#define ARGUMENT_HIGH(index) (ARGUMENT_LOW(index) + 4)

#define LOAD(off) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(off))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FORBID BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
#define REQUIRE_EQUAL(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 1, 0), FORBID
#define REQUIRE_AT_LEAST(value) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(value), 1, 0), FORBID
#define REQUIRE_LESS(value) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(value), 0, 1), FORBID

static void add(struct stub_filter *filter, const struct sock_filter *instructions, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        filter->instructions[filter->count++] = instructions[i];
    }
}

/* Allows a call whose arguments pass `checks`. */
static void call_allow(struct stub_filter *filter, uint32_t number, const struct sock_filter *checks,
                       unsigned int count)
{
    const struct sock_filter head[] = {
        LOAD(offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, (uint8_t)(count + 1)),
    };
    const struct sock_filter end[] = {ALLOW};
    add(filter, head, ARRAY_COUNT(head));
    add(filter, checks, count);
    add(filter, end, ARRAY_COUNT(end));
}

void stub_filter_make(struct stub_filter *ret_filter, uint32_t vcpu_count)
{
    const struct sock_filter architecture[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        REQUIRE_EQUAL(AUDIT_ARCH_X86_64),
    };
    /* 8 bytes to the eventfd of a vCPU; the kernel looks at the lower half of a descriptor only. */
    const struct sock_filter write_checks[] = {
        LOAD(ARGUMENT_LOW(0)), REQUIRE_AT_LEAST(STUB_FD_EVENT(0)), REQUIRE_LESS(STUB_FD_EVENT(vcpu_count)),
        LOAD(ARGUMENT_LOW(2)), REQUIRE_EQUAL(sizeof(uint64_t)),    LOAD(ARGUMENT_HIGH(2)),
        REQUIRE_EQUAL(0),
    };
    /* An endless wait on a mailbox. */
    const struct sock_filter futex_checks[] = {
        LOAD(ARGUMENT_HIGH(0)),
        REQUIRE_EQUAL(0),
        LOAD(ARGUMENT_LOW(0)),
        REQUIRE_AT_LEAST(LAYOUT_MAILBOXES_GPA),
        REQUIRE_LESS(LAYOUT_MAILBOXES_GPA + LAYOUT_MAILBOXES_LEN(vcpu_count)),
        LOAD(ARGUMENT_LOW(1)),
        REQUIRE_EQUAL(FUTEX_WAIT),
        LOAD(ARGUMENT_LOW(3)),
        REQUIRE_EQUAL(0),
        LOAD(ARGUMENT_HIGH(3)),
        REQUIRE_EQUAL(0),
    };
    const struct sock_filter rest[] = {FORBID};
    ret_filter->count = 0;
    add(ret_filter, architecture, ARRAY_COUNT(architecture));
    call_allow(ret_filter, SYS_write, write_checks, ARRAY_COUNT(write_checks));
    call_allow(ret_filter, SYS_futex, futex_checks, ARRAY_COUNT(futex_checks));
    call_allow(ret_filter, SYS_exit_group, NULL, 0);
    add(ret_filter, rest, ARRAY_COUNT(rest));
}

long stub_filter_install(uint32_t vcpu_count)
{
    struct stub_filter filter;
    stub_filter_make(&filter, vcpu_count);
    struct sock_fprog program = {.len = filter.count, .filter = filter.instructions};
    /* TSYNC: the threads that are there already get it too, and none can escape by having been made earlier. */
    return call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, pointer(&program));
}
