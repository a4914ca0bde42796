/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of a job's parent, and of the process that opens files for it: what is not listed is not executed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail_parent.h"
#include "host/jail/jail_sanitizer.h"

/* Beyond the last system call of any kernel for years to come. */
#define NUMBER_END 700
#define PARTS_ALL (JAIL_PARENT_OUTPUT | JAIL_PARENT_NEW_OUTPUT | JAIL_PARENT_FILES)
#define PATIENCE_S 5
#define ARGUMENT_COUNT 6
/* A status that neither the process that was refused a call has, nor one that called exit with nonsense. */
#define STATUS_NOT_CONFINED 77

struct attempt {
    uint32_t parts;
    enum jail_parent_role role;
    long number;
    long arguments[ARGUMENT_COUNT];
};

static void attempt_make(const struct attempt *attempt, pid_t child)
{
    struct jail_parent_config config = {.role = attempt->role, .parts = attempt->parts, .children = {child}};
    struct error error = {0};
    const long *arguments = attempt->arguments;
    int nowhere = open("/dev/null", O_RDWR);
    alarm(PATIENCE_S); /* a call that waits is one that was allowed */
    if (dup2(nowhere, STDERR_FILENO) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        !jail_parent_confine(&config, &error)) {
        _exit(STATUS_NOT_CONFINED);
    }
    syscall(attempt->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    _exit(EXIT_SUCCESS);
}

/* Whether the call was executed, in a process that may end `child`. */
static bool is_allowed_with(const struct attempt *attempt, pid_t child)
{
    pid_t pid = fork();
    if (pid == 0) {
        attempt_make(attempt, child);
    }
    int status;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NOT_CONFINED);
    return !(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) &&
           !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
}

static bool is_allowed(const struct attempt *attempt)
{
    return is_allowed_with(attempt, getppid());
}

static bool has_open_row(const struct attempt *attempt)
{
    for (size_t i = 0; i < jail_parent_call_count; i++) {
        const struct jail_call *call = &jail_parent_calls[i];
        if (call->number == attempt->number && call->arguments[0] == NULL &&
            jail_parent_call_is_kept(call, attempt->parts, attempt->role)) {
            return true;
        }
    }
    return false;
}

/*
 * Numbers that are no descriptor, no address and no process: nothing happens even where the kernel takes them. Whatever
 * a row says of arguments, they are not it.
 */
static void numbers_try(uint32_t parts, enum jail_parent_role role)
{
    for (long number = 0; number < NUMBER_END; number++) {
        /* uretprobe and uprobe pass every filter (tests/jail/jail_main.c). */
        if (number == 335 || number == 336) {
            continue;
        }
        struct attempt attempt = {parts, role, number, {-1, -1, -1, -1, -1, -1}};
        if (is_allowed(&attempt) != has_open_row(&attempt)) {
            fail_msg("system call %ld of role %d, parts %u", number, (int)role, parts);
        }
    }
}

static void every_number_is_as_the_table_has_it(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    numbers_try(PARTS_ALL, JAIL_PARENT_RELAY);
    numbers_try(PARTS_ALL, JAIL_PARENT_OPENER);
}

/* Of the other shapes, those that differ. */
static void what_a_job_does_not_have_it_does_not_keep(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    for (size_t i = 0; i < jail_parent_call_count; i++) {
        struct attempt attempt = {0, JAIL_PARENT_RELAY, jail_parent_calls[i].number, {-1, -1, -1, -1, -1, -1}};
        assert_int_equal(is_allowed(&attempt), has_open_row(&attempt));
    }
}

static void ways_out_are_closed(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    static const long numbers[] = {
        SYS_execve,
        SYS_execveat,
        SYS_fork,
        SYS_vfork,
        SYS_clone,
        SYS_clone3,
        SYS_socket,
        SYS_ptrace,
        SYS_mount,
        SYS_open,
        SYS_openat2,
        SYS_creat,
        SYS_process_vm_writev,
        SYS_mprotect,
        SYS_bpf,
        SYS_keyctl,
        SYS_symlink,
        SYS_mknod,
        SYS_io_uring_setup,
        SYS_memfd_create,
        SYS_unshare,
        SYS_setuid,
        SYS_prctl,
        SYS_seccomp,
        SYS_pidfd_send_signal,
        SYS_pidfd_getfd,
        SYS_userfaultfd,
        SYS_chmod,
    };
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct attempt attempt = {PARTS_ALL, JAIL_PARENT_RELAY, numbers[i], {0}};
        assert_false(is_allowed(&attempt));
    }
}

static void arguments_are_looked_at(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    static const struct {
        bool is_allowed;
        struct attempt attempt;
    } cases[] = {
        {true, {0, JAIL_PARENT_RELAY, SYS_write, {STDOUT_FILENO, 0, 0}}},
        {true, {0, JAIL_PARENT_RELAY, SYS_write, {STDERR_FILENO, 0, 0}}},
        {false, {0, JAIL_PARENT_RELAY, SYS_write, {3, 0, 0}}},
        {false, {0, JAIL_PARENT_RELAY, SYS_write, {STDIN_FILENO, 0, 0}}},
        {true, {0, JAIL_PARENT_RELAY, SYS_fcntl, {0, F_OFD_SETLK, 0}}},
        {false, {0, JAIL_PARENT_RELAY, SYS_fcntl, {0, F_DUPFD_CLOEXEC, 3}}},
        {true, {PARTS_ALL, JAIL_PARENT_RELAY, SYS_fcntl, {0, F_DUPFD_CLOEXEC, 3}}},
        {false, {PARTS_ALL, JAIL_PARENT_RELAY, SYS_fcntl, {0, F_SETFL, 0}}},
        {false, {PARTS_ALL, JAIL_PARENT_RELAY, SYS_openat, {AT_FDCWD, (long)"/etc/passwd", O_RDONLY}}},
        {true, {PARTS_ALL, JAIL_PARENT_RELAY, SYS_openat, {-1, (long)".", O_RDONLY | O_DIRECTORY | O_CLOEXEC}}},
        {true, {PARTS_ALL, JAIL_PARENT_OPENER, SYS_openat, {-1, (long)"a", O_RDONLY | O_CLOEXEC | O_NONBLOCK}}},
        {false, {PARTS_ALL, JAIL_PARENT_OPENER, SYS_openat, {-1, (long)"a", O_RDWR}}},
        {false, {PARTS_ALL, JAIL_PARENT_OPENER, SYS_openat, {-1, (long)"a", O_WRONLY | O_CREAT}}},
        {false, {PARTS_ALL, JAIL_PARENT_OPENER, SYS_openat, {-1, (long)"a", O_RDONLY | O_TRUNC}}},
        {false, {PARTS_ALL, JAIL_PARENT_OPENER, SYS_unlinkat, {-1, (long)"a", 0}}},
        {false, {PARTS_ALL, JAIL_PARENT_OPENER, SYS_write, {STDOUT_FILENO, 0, 0}}},
        {true, {0, JAIL_PARENT_RELAY, SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}}},
        {false, {0, JAIL_PARENT_RELAY, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_ANONYMOUS, -1, 0}}},
        {false, {0, JAIL_PARENT_RELAY, SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, 3, 0}}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (is_allowed(&cases[i].attempt) != cases[i].is_allowed) {
            fail_msg("case %zu", i);
        }
    }
}

static void only_the_jobs_processes_are_ended(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    struct attempt other = {0, JAIL_PARENT_RELAY, SYS_kill, {getpid(), SIGKILL}};
    struct attempt gentle = {0, JAIL_PARENT_RELAY, SYS_kill, {child, SIGTERM}};
    struct attempt proper = {0, JAIL_PARENT_RELAY, SYS_kill, {child, SIGKILL}};
    assert_false(is_allowed_with(&other, child));
    assert_false(is_allowed_with(&gentle, child));
    assert_true(is_allowed_with(&proper, child));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* Nor is anybody in a job that has ended none. */
    assert_false(is_allowed_with(&other, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_as_the_table_has_it),
        cmocka_unit_test(what_a_job_does_not_have_it_does_not_keep),
        cmocka_unit_test(ways_out_are_closed),
        cmocka_unit_test(arguments_are_looked_at),
        cmocka_unit_test(only_the_jobs_processes_are_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
