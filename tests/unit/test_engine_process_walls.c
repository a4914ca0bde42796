/* SPDX-License-Identifier: Apache-2.0 */
/* The process engine's walls: guests that do what they may not, and what becomes of them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_engine_process_support.h"

/* Highest numbers that Linux has, and room for those to come. */
#define CALL_MAX 700
#define X32_BIT 0x40000000

PIECE(call)
PIECE(call_32)
PIECE(call_old)
PIECE(undefined)
PIECE(breakpoint)
PIECE(divide)
PIECE(halt)
PIECE(no_interrupts)
PIECE(port)
PIECE(not_canonical)
PIECE(load)
PIECE(store)
PIECE(jump)
PIECE(no_stack)
PIECE(forge)
PIECE(forge_call)

static void expect_fault(struct span piece)
{
    struct guest guest;
    guest_start(&guest, piece);
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_FAULT);
    assert_int_equal(guest.exit.faulted_vcpu, 0);
    assert_false(guest.exit.has_fault_address);
    assert_in_range(guest.exit.instruction_gpa, LAYOUT_PROGRAM_GPA, LAYOUT_PROGRAM_GPA + piece.len);
    guest_end(&guest);
}

static void expect_page_fault(struct span piece, uint64_t address)
{
    struct guest guest;
    guest_start(&guest, piece);
    guest_words(&guest)[0] = address;
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_FAULT);
    assert_true(guest.exit.has_fault_address);
    assert_int_equal(guest.exit.fault_gpa, address);
    guest_end(&guest);
}

static void expect_call_forbidden(struct span piece, uint64_t number, const char *detail)
{
    struct guest guest;
    guest_start(&guest, piece);
    guest_words(&guest)[0] = number;
    guest_expect_error(&guest, ERROR_GUEST, detail);
    guest_end(&guest);
}

/*
 * Kernels without IA-32 emulation (CONFIG_IA32_EMULATION, ia32_emulation=0), and hypervisors that intercept the
 * instruction, have no gate for 32-bit programs: `int $0x80` is a fault, for any process. Found out in a process of
 * its own; anything but a call that works or a fault fails the test.
 */
static bool has_gate_of_32_bit_programs(void)
{
    pid_t child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        long result;
        signal(SIGSEGV, SIG_DFL); /* cmocka has a handler */
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid */) : "memory", "r8", "r9", "r10", "r11");
        _exit(result == getpid() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    bool is_there = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    assert_true(is_there || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    return is_there;
}

/* The filter meets the call, and where there is no gate the processor does. */
static void expect_call_32_forbidden(uint64_t number, const char *detail)
{
    static int gate = -1;
    if (gate < 0) {
        gate = has_gate_of_32_bit_programs();
        print_message("this host %s a gate for 32-bit programs\n", gate ? "has" : "lacks");
    }
    if (gate) {
        expect_call_forbidden(piece_call_32(), number, detail);
    } else {
        expect_fault(piece_call_32());
    }
}

static void reports_faults(void **state UNUSED)
{
    expect_fault(piece_undefined());
    expect_fault(piece_breakpoint());
    expect_fault(piece_divide());
    expect_fault(piece_halt());
    expect_fault(piece_no_interrupts());
    expect_fault(piece_port());
    expect_fault(piece_not_canonical());
}

static void maps_what_was_asked_and_nothing_else(void **state UNUSED)
{
    static const uint64_t absent[] = {
        0,
        0xffff,
        LAYOUT_BOOT_INFO_GPA + LAYOUT_BOOT_INFO_LEN,
        LAYOUT_TASK_STATE_GPA,
        LAYOUT_PAGE_TABLES_GPA,
        LAYOUT_MAILBOX_GPA(1),
        LAYOUT_REPORT_GPA + LAYOUT_REPORT_LEN,
        LAYOUT_PROGRAM_GPA + LAYOUT_PAGE_LEN,
        LAYOUT_STACKS_GPA,
        LAYOUT_STACK_TOP_GPA(0),
        LAYOUT_STACK_BOTTOM_GPA(1),
        LAYOUT_REGISTERS_DEVICE_GPA(1),
        LAYOUT_ARENA_GPA + LAYOUT_HUGE_PAGE_LEN,
        LAYOUT_GATE_GPA - 1,
        0xffffffff80000000,
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(absent); i++) {
        expect_page_fault(piece_load(), absent[i]);
        expect_page_fault(piece_store(), absent[i]);
        expect_page_fault(piece_jump(), absent[i]);
    }
    static const uint64_t read_only[] = {LAYOUT_BOOT_INFO_GPA, LAYOUT_PROGRAM_GPA, LAYOUT_REGISTERS_GPA,
                                         LAYOUT_GATE_GPA};
    for (unsigned int i = 0; i < ARRAY_COUNT(read_only); i++) {
        expect_page_fault(piece_store(), read_only[i]);
    }
    static const uint64_t not_code[] = {LAYOUT_BOOT_INFO_GPA,       LAYOUT_MAILBOXES_GPA, LAYOUT_REPORT_GPA,
                                        LAYOUT_STACK_BOTTOM_GPA(0), LAYOUT_REGISTERS_GPA, LAYOUT_DATA_GPA};
    for (unsigned int i = 0; i < ARRAY_COUNT(not_code); i++) {
        expect_page_fault(piece_jump(), not_code[i]);
    }
}

static void survives_a_guest_without_a_stack(void **state UNUSED)
{
    /* The handler has a stack of its own. */
    expect_fault(piece_no_stack());
}

static void believes_no_report(void **state UNUSED)
{
    struct guest guest;
    guest_start(&guest, piece_forge());
    guest_expect_error(&guest, ERROR_GUEST, "the guest ended its process");
    guest_end(&guest);
    static const struct {
        int64_t number;
        const char *detail;
    } calls[] = {{-7, "32-bit system call -7 (unknown)"}, {11, "32-bit system call 11 (execve)"}};
    for (unsigned int i = 0; i < ARRAY_COUNT(calls); i++) {
        guest_start(&guest, piece_forge_call());
        guest_words(&guest)[0] = (uint64_t)calls[i].number;
        guest_expect_error(&guest, ERROR_GUEST, calls[i].detail);
        guest_end(&guest);
    }
}

/*
 * uretprobe and uprobe: since Linux 6.14 no filter sees these (kernel/seccomp.c); outside of a probe's own code they
 * do nothing but fail.
 */
#define CALL_URETPROBE 335
#define CALL_UPROBE 336

/* With arguments that suit none of the allowed calls; those are the filter's own test. */
static void forbids_every_system_call(void **state UNUSED)
{
    for (uint64_t number = 0; number < CALL_MAX; number++) {
        if (number == CALL_URETPROBE || number == CALL_UPROBE) {
            continue;
        }
        char detail[64];
        snprintf(detail, sizeof(detail), "attempted system call %llu (", (unsigned long long)number);
        expect_call_forbidden(piece_call(), number, number == SYS_exit_group ? "the guest ended its process" : detail);
    }
}

static void ends_a_guest_that_pretends_to_be_probed(void **state UNUSED)
{
    for (uint64_t number = CALL_URETPROBE; number <= CALL_UPROBE; number++) {
        struct guest guest;
        guest_start(&guest, piece_call());
        guest_words(&guest)[0] = number;
        bool is_fault = guest_run(&guest); /* by the call, or by the instruction behind it */
        assert_true(is_fault ? guest.exit.kind == VCPU_EXIT_FAULT : guest.error.kind == ERROR_GUEST);
        guest_end(&guest);
    }
}

static void names_the_system_call(void **state UNUSED)
{
    expect_call_forbidden(piece_call(), SYS_openat, "the guest attempted system call 257 (openat)");
    expect_call_forbidden(piece_call(), 100000, "the guest attempted system call 100000 (unknown)");
    expect_call_32_forbidden(11, "the guest attempted 32-bit system call 11 (execve)");
}

static void forbids_the_calls_of_other_programs(void **state UNUSED)
{
    for (uint64_t number = 0; number < 20; number++) {
        expect_call_forbidden(piece_call(), number | X32_BIT, "attempted system call 10737418");
        expect_call_32_forbidden(number, "attempted 32-bit system call");
    }
    expect_call_32_forbidden(SYS_exit_group, "attempted 32-bit system call");
    expect_call_forbidden(piece_call(), UINT64_MAX, "attempted system call -1 (unknown)");
    /* Kernels without that page make it a fault. */
    struct guest guest;
    guest_start(&guest, piece_call_old());
    bool is_fault = guest_run(&guest);
    assert_true(is_fault ? guest.exit.kind == VCPU_EXIT_FAULT : guest.error.kind == ERROR_GUEST);
    guest_end(&guest);
}

/* What the gate does, done by the guest itself: a write to its eventfd, and nothing but that. */
static void lets_the_guest_signal_and_no_more(void **state UNUSED)
{
    struct guest guest;
    guest_start(&guest, piece_call());
    guest_words(&guest)[0] = SYS_write;
    guest_words(&guest)[1] = (uint64_t)STUB_FD_EVENT(0);
    guest_words(&guest)[2] = LAYOUT_DATA_GPA + 64;
    guest_words(&guest)[3] = 8;
    guest_words(&guest)[8] = 1;
    assert_true(guest_run(&guest)); /* then it halts */
    assert_int_equal(guest.exit.kind, VCPU_EXIT_FAULT);
    assert_int_equal(guest_words(&guest)[0], 8);
    guest_end(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_faults),
        cmocka_unit_test(maps_what_was_asked_and_nothing_else),
        cmocka_unit_test(survives_a_guest_without_a_stack),
        cmocka_unit_test(believes_no_report),
        cmocka_unit_test(forbids_every_system_call),
        cmocka_unit_test(ends_a_guest_that_pretends_to_be_probed),
        cmocka_unit_test(names_the_system_call),
        cmocka_unit_test(forbids_the_calls_of_other_programs),
        cmocka_unit_test(lets_the_guest_signal_and_no_more),
    };
    return cmocka_run_group_tests(tests, engine_probe, NULL);
}
