/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "host/jail/jail.h"
#include "host/jail/jail_calls.h"

static const uint32_t backends[] = {
    JAIL_BACKEND_REGULAR, JAIL_BACKEND_DIRECT, JAIL_BACKEND_MMAP, JAIL_BACKEND_IO_URING, JAIL_BACKEND_MEMORY,
};

static bool is_kept(uint32_t parts, const char *name)
{
    for (size_t i = 0; i < jail_call_count; i++) {
        if (strcmp(jail_calls[i].name, name) == 0 && jail_call_is_kept(&jail_calls[i], parts)) {
            return true;
        }
    }
    return false;
}

static void every_call_has_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < jail_call_count; i++) {
        assert_non_null(jail_calls[i].reason);
        assert_true(strlen(jail_calls[i].reason) > 0);
        assert_null(strchr(jail_calls[i].reason, '|')); /* it stands in a table */
        assert_null(strchr(jail_calls[i].reason, '\n'));
    }
}

static void arguments_are_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < jail_call_count; i++) {
        const struct jail_argument *argument = jail_calls[i].argument;
        if (argument == NULL) {
            continue;
        }
        assert_true(argument->index < 6);
        assert_true(argument->is_own_process || argument->value_count > 0);
        for (unsigned int value = 0; value < argument->value_count; value++) {
            /* A value outside of its mask would never match. */
            assert_int_equal(argument->values[value] & argument->mask, argument->values[value]);
        }
    }
}

/* Of two rows of one call for one process the weaker one would count, unless each names what it allows. */
static void no_call_is_kept_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < jail_call_count; i++) {
        for (size_t other = 0; other < i; other++) {
            bool is_for_sanitizer = jail_calls[i].parts == JAIL_SANITIZER;
            bool names_both = jail_calls[i].argument != NULL && jail_calls[other].argument != NULL &&
                              jail_calls[i].argument->index == jail_calls[other].argument->index;
            assert_true(jail_calls[i].number != jail_calls[other].number || is_for_sanitizer || names_both);
        }
    }
}

static void nothing_names_files_or_makes_processes(void **state)
{
    (void)state;
    static const char *const never[] = {
        "open",    "openat",  "openat2",  "newfstatat",   "stat",           "statx",   "socket",
        "connect", "sendmsg", "execve",   "clone",        "clone3",         "fork",    "kill",
        "ptrace",  "prctl",   "mprotect", "rt_sigaction", "io_uring_setup", "seccomp", "dup",
    };
    for (size_t backend = 0; backend < ARRAY_COUNT(backends); backend++) {
        uint32_t parts = backends[backend] | JAIL_ENGINE_KVM | JAIL_ENGINE_PROCESS | JAIL_LATE_FILES | JAIL_STATISTICS;
        for (size_t i = 0; i < ARRAY_COUNT(never); i++) {
            assert_false(is_kept(parts, never[i]));
        }
    }
}

static void parts_decide(void **state)
{
    (void)state;
    assert_true(is_kept(JAIL_ENGINE_KVM, "ioctl"));
    assert_false(is_kept(JAIL_ENGINE_PROCESS, "ioctl"));
    assert_true(is_kept(JAIL_BACKEND_IO_URING, "io_uring_enter"));
    assert_false(is_kept(JAIL_BACKEND_REGULAR, "io_uring_enter"));
    assert_false(is_kept(JAIL_BACKEND_IO_URING, "preadv"));
    assert_true(is_kept(JAIL_BACKEND_IO_URING | JAIL_LATE_FILES, "preadv"));
    assert_false(is_kept(JAIL_BACKEND_REGULAR, "recvmsg"));
    assert_true(is_kept(0, "futex"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_has_a_reason),
        cmocka_unit_test(arguments_are_well_formed),
        cmocka_unit_test(no_call_is_kept_twice),
        cmocka_unit_test(nothing_names_files_or_makes_processes),
        cmocka_unit_test(parts_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
