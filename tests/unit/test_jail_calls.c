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

static bool is_kept_by(uint32_t parts, enum jail_role role, const char *name)
{
    for (size_t i = 0; i < jail_call_count; i++) {
        if (strcmp(jail_calls[i].name, name) == 0 && jail_call_is_kept(&jail_calls[i], parts, role)) {
            return true;
        }
    }
    return false;
}

static bool is_kept(uint32_t parts, const char *name)
{
    return is_kept_by(parts, JAIL_ROLE_FIRST, name) || is_kept_by(parts, JAIL_ROLE_VCPU, name) ||
           is_kept_by(parts, JAIL_ROLE_DEVICE, name);
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

static void argument_check(const struct jail_argument *argument)
{
    struct jail_config config = {.output_first = 512, .input_first = 576};
    struct jail_range range;
    assert_true(argument->index < 6);
    bool has_values = argument->value_count > 0 || argument->kind == JAIL_ARGUMENT_OWN_PROCESS;
    assert_true(has_values != jail_argument_range(argument, &config, &range));
    for (unsigned int value = 0; value < argument->value_count; value++) {
        /* A value outside of its mask would never match. */
        assert_int_equal(argument->values[value] & argument->mask, argument->values[value]);
    }
}

static void arguments_are_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < jail_call_count; i++) {
        for (unsigned int argument = 0; argument < JAIL_ARGUMENT_MAX; argument++) {
            if (jail_calls[i].arguments[argument] != NULL) {
                argument_check(jail_calls[i].arguments[argument]);
            }
        }
    }
}

static uint32_t part_bits(uint32_t parts)
{
    return parts == JAIL_PARTS_ALL ? UINT32_MAX & ~(uint32_t)JAIL_SANITIZER : parts;
}

/* Of two rows of one call for one thread the weaker one counts. */
static void no_row_weakens_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < jail_call_count; i++) {
        for (size_t other = 0; other < jail_call_count; other++) {
            const struct jail_call *strong = &jail_calls[i];
            const struct jail_call *weak = &jail_calls[other];
            bool both = strong->number == weak->number && (strong->threads & weak->threads) != 0 &&
                        (part_bits(strong->parts) & part_bits(weak->parts)) != 0;
            if (both && weak->arguments[0] == NULL && strong->arguments[0] != NULL) {
                fail_msg("%s: %s", weak->name, weak->reason);
            }
        }
    }
}

static void writing_is_for_outputs(void **state)
{
    (void)state;
    static const char *const writing[] = {"pwritev", "fallocate", "ftruncate", "fdatasync"};
    for (size_t i = 0; i < jail_call_count; i++) {
        for (size_t name = 0; name < ARRAY_COUNT(writing); name++) {
            if (strcmp(jail_calls[i].name, writing[name]) != 0) {
                continue;
            }
            bool names_outputs = false;
            for (unsigned int argument = 0; argument < JAIL_ARGUMENT_MAX; argument++) {
                const struct jail_argument *condition = jail_calls[i].arguments[argument];
                names_outputs = names_outputs || (condition != NULL && condition->kind == JAIL_ARGUMENT_OUTPUT);
            }
            assert_true(names_outputs);
        }
    }
}

static void threads_differ(void **state)
{
    (void)state;
    uint32_t parts = JAIL_ENGINE_KVM | JAIL_BACKEND_REGULAR | JAIL_LATE_FILES;
    assert_true(is_kept_by(parts, JAIL_ROLE_VCPU, "ioctl"));
    assert_false(is_kept_by(parts, JAIL_ROLE_DEVICE, "ioctl"));
    assert_false(is_kept_by(parts, JAIL_ROLE_FIRST, "ioctl"));
    assert_true(is_kept_by(parts, JAIL_ROLE_DEVICE, "pwritev"));
    assert_false(is_kept_by(parts, JAIL_ROLE_VCPU, "pwritev"));
    assert_true(is_kept_by(parts | JAIL_VCPU_FILES, JAIL_ROLE_VCPU, "pwritev"));
    assert_false(is_kept_by(parts, JAIL_ROLE_FIRST, "pwritev"));
    assert_true(is_kept_by(parts | JAIL_VCPU_FILES, JAIL_ROLE_FIRST, "pwritev"));
    assert_false(is_kept_by(JAIL_ENGINE_PROCESS | JAIL_BACKEND_REGULAR | JAIL_VCPU_FILES, JAIL_ROLE_FIRST, "pwritev"));
    assert_true(is_kept_by(parts, JAIL_ROLE_FIRST, "recvmsg"));
    assert_false(is_kept_by(parts, JAIL_ROLE_DEVICE, "recvmsg"));
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
        cmocka_unit_test(no_row_weakens_another),
        cmocka_unit_test(writing_is_for_outputs),
        cmocka_unit_test(threads_differ),
        cmocka_unit_test(nothing_names_files_or_makes_processes),
        cmocka_unit_test(parts_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
