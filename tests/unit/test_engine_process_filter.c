/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's seccomp filter, run by an interpreter of the few instructions that it is made of. */
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "host/vmm/engines/process_stub/stub.h"

#define VCPU_COUNT 3u
#define X32_BIT 0x40000000

static struct stub_filter filter;

/* Loads of a word, jumps on equal and on greater or equal, and return. */
static uint32_t interpret(const struct seccomp_data *call)
{
    uint32_t accumulator = 0;
    for (unsigned int i = 0; i < filter.count; i++) {
        const struct sock_filter *instruction = &filter.instructions[i];
        switch (instruction->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(instruction->k % 4 == 0 && instruction->k + 4 <= sizeof(*call));
            memcpy(&accumulator, (const uint8_t *)call + instruction->k, sizeof(accumulator));
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            i += accumulator == instruction->k ? instruction->jt : instruction->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            i += accumulator >= instruction->k ? instruction->jt : instruction->jf;
            break;
        case BPF_RET | BPF_K:
            return instruction->k;
        default:
            fail_msg("instruction 0x%x", instruction->code);
        }
    }
    fail_msg("the filter has no end");
    return 0;
}

static struct seccomp_data call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return (struct seccomp_data){.nr = (int)number, .arch = AUDIT_ARCH_X86_64, .args = {a, b, c, d}};
}

static void expect(const struct seccomp_data *data, uint32_t action)
{
    assert_int_equal(interpret(data), action);
}

static int prepare(void **state UNUSED)
{
    stub_filter_make(&filter, VCPU_COUNT);
    assert_true(filter.count <= STUB_FILTER_MAX);
    return 0;
}

static void allows_what_the_gate_does(void **state UNUSED)
{
    for (unsigned int i = 0; i < VCPU_COUNT; i++) {
        struct seccomp_data data = call(SYS_write, (uint64_t)STUB_FD_EVENT(i), 0xc3f000, 8, 0xdead);
        expect(&data, SECCOMP_RET_ALLOW);
        data = call(SYS_futex, LAYOUT_MAILBOX_GPA(i), FUTEX_WAIT, 1, 0);
        expect(&data, SECCOMP_RET_ALLOW);
    }
    struct seccomp_data data = call(SYS_exit_group, 1, 2, 3, 4);
    expect(&data, SECCOMP_RET_ALLOW);
}

static void forbids_all_other_numbers(void **state UNUSED)
{
    for (long number = -3; number < 2000; number++) {
        if (number == SYS_exit_group) {
            continue;
        }
        /* Arguments that suit no allowed call. */
        struct seccomp_data data = call(number, 0, 0, 0, 0);
        expect(&data, SECCOMP_RET_TRAP);
        data = call(number, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX);
        expect(&data, SECCOMP_RET_TRAP);
        if (number != SYS_write) {
            data = call(number, (uint64_t)STUB_FD_EVENT(0), 0xc3f000, 8, 0);
            expect(&data, SECCOMP_RET_TRAP);
        }
        if (number != SYS_futex) {
            data = call(number, LAYOUT_MAILBOX_GPA(0), FUTEX_WAIT, 1, 0);
            expect(&data, SECCOMP_RET_TRAP);
        }
    }
}

static void forbids_other_architectures(void **state UNUSED)
{
    static const long numbers[] = {SYS_write, SYS_futex, SYS_exit_group};
    static const uint32_t architectures[] = {0, AUDIT_ARCH_I386, AUDIT_ARCH_X86_64 ^ 0x80000000, UINT32_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct seccomp_data x32 = call(numbers[i] | X32_BIT, (uint64_t)STUB_FD_EVENT(0), 0, 8, 0);
        expect(&x32, SECCOMP_RET_TRAP);
        for (unsigned int j = 0; j < ARRAY_COUNT(architectures); j++) {
            struct seccomp_data data = call(numbers[i], (uint64_t)STUB_FD_EVENT(0), 0, 8, 0);
            data.arch = architectures[j];
            expect(&data, SECCOMP_RET_TRAP);
        }
    }
}

static void forbids_other_writes(void **state UNUSED)
{
    /* The kernel takes the lower half of a descriptor, so the upper one does not matter. */
    static const uint64_t descriptors[] = {0, 1, STUB_FD_EVENT(VCPU_COUNT), 100, UINT32_MAX, UINT64_MAX, 1ull << 32};
    for (unsigned int i = 0; i < ARRAY_COUNT(descriptors); i++) {
        struct seccomp_data data = call(SYS_write, descriptors[i], 0xc3f000, 8, 0);
        expect(&data, SECCOMP_RET_TRAP);
    }
    static const uint64_t lengths[] = {0, 7, 9, 4096, 1ull << 32 | 8, UINT64_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(lengths); i++) {
        struct seccomp_data data = call(SYS_write, (uint64_t)STUB_FD_EVENT(0), 0xc3f000, lengths[i], 0);
        expect(&data, SECCOMP_RET_TRAP);
    }
}

static void forbids_other_futex_operations(void **state UNUSED)
{
    for (uint64_t operation = 0; operation < 1024; operation++) {
        struct seccomp_data data = call(SYS_futex, LAYOUT_MAILBOX_GPA(0), operation, 1, 0);
        expect(&data, operation == FUTEX_WAIT ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP);
    }
    static const uint64_t addresses[] = {0,
                                         LAYOUT_MAILBOXES_GPA - 1,
                                         LAYOUT_MAILBOX_GPA(VCPU_COUNT),
                                         LAYOUT_REPORT_GPA,
                                         LAYOUT_DATA_GPA,
                                         LAYOUT_DATA_GPA | LAYOUT_MAILBOXES_GPA,
                                         UINT64_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(addresses); i++) {
        struct seccomp_data data = call(SYS_futex, addresses[i], FUTEX_WAIT, 1, 0);
        expect(&data, SECCOMP_RET_TRAP);
    }
    static const uint64_t timeouts[] = {1, 0xc3f000, 1ull << 32, UINT64_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(timeouts); i++) {
        struct seccomp_data data = call(SYS_futex, LAYOUT_MAILBOX_GPA(0), FUTEX_WAIT, 1, timeouts[i]);
        expect(&data, SECCOMP_RET_TRAP);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allows_what_the_gate_does),      cmocka_unit_test(forbids_all_other_numbers),
        cmocka_unit_test(forbids_other_architectures),    cmocka_unit_test(forbids_other_writes),
        cmocka_unit_test(forbids_other_futex_operations),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
