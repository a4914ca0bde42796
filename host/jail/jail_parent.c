/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_parent.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail_call_rows.h"
#include "host/jail/jail_filter.h"
#include "host/jail/jail_report.h"
#include "host/jail/jail_sanitizer.h"

/* Descriptors and numbers of processes: the C library passes an int. */
static const struct jail_argument standard_streams = {
    .text = "standard output and error",
    .index = 0,
    .mask = WHOLE,
    .value_count = 2,
    .values = {STDOUT_FILENO, STDERR_FILENO},
};

static const struct jail_argument standard_error = {
    .text = "standard error",
    .index = 0,
    .mask = WHOLE,
    .value_count = 1,
    .values = {STDERR_FILENO},
};

static const struct jail_argument locks = {
    .text = "F_OFD_SETLK, F_OFD_GETLK",
    .index = 1,
    .mask = WHOLE,
    .value_count = 2,
    .values = {F_OFD_SETLK, F_OFD_GETLK},
};

static const struct jail_argument copy = {
    .text = "F_DUPFD_CLOEXEC",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {F_DUPFD_CLOEXEC},
};

static const struct jail_argument status_flags = {
    .text = "F_SETFL",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {F_SETFL},
};

static const struct jail_argument children = {
    .text = "the job's other processes",
    .index = 0,
    .kind = JAIL_ARGUMENT_CHILD,
    .mask = WHOLE,
};

static const struct jail_argument memory_advice = {
    .text = "MADV_DONTNEED, MADV_HUGEPAGE",
    .index = 2,
    .mask = WHOLE,
    .value_count = 2,
    .values = {MADV_DONTNEED, MADV_HUGEPAGE},
};

static const struct jail_argument real_time = {
    .text = "ITIMER_REAL",
    .index = 0,
    .mask = WHOLE,
    .value_count = 1,
    .values = {ITIMER_REAL},
};

static const struct jail_argument terminal = {
    .text = "TCGETS, TIOCGWINSZ",
    .index = 1,
    .mask = WHOLE,
    .value_count = 2,
    .values = {TCGETS, TIOCGWINSZ},
};

static const struct jail_argument by_descriptor = {
    .text = "AT_EMPTY_PATH",
    .index = 3,
    .mask = WHOLE,
    .value_count = 1,
    .values = {AT_EMPTY_PATH},
};

static const struct jail_argument nothing = {
    .text = "0",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {0},
};

static const struct jail_argument directory = {
    .text = "O_RDONLY, O_DIRECTORY; O_PATH, O_NOFOLLOW",
    .index = 2,
    .mask = WHOLE,
    .value_count = 2,
    .values = {O_RDONLY | O_DIRECTORY | O_CLOEXEC, O_PATH | O_NOFOLLOW | O_CLOEXEC},
};

static const struct jail_argument reading = {
    .text = "to read",
    .index = 2,
    .mask = O_ACCMODE | O_CREAT | O_TRUNC,
    .value_count = 1,
    .values = {O_RDONLY},
};

#define RELAY (1u << JAIL_PARENT_RELAY)
#define OPENER (1u << JAIL_PARENT_OPENER)
#define BOTH (RELAY | OPENER)

const struct jail_call jail_parent_calls[] = {
    CALL(poll, JAIL_PARTS_ALL, RELAY, ANY,
         "wait for the child, signals, the deadline, and for who reads what is printed"),
    CALL(restart_syscall, JAIL_PARTS_ALL, RELAY, ANY, "the kernel, to go on with poll after a stop"),
    CALL(read, JAIL_PARTS_ALL, RELAY, ANY, "what the child says, and which signals have come"),
    CALL(write, JAIL_PARTS_ALL, RELAY, ARGUMENTS(&standard_streams), "print"),
    CALL(fcntl, JAIL_PARTS_ALL, BOTH, ARGUMENTS(&locks), "locks on images"),
    CALL(clock_gettime, JAIL_PARTS_ALL, RELAY, ANY, "the processor time of the child, and the deadline"),
    CALL(clock_getres, JAIL_PARTS_ALL, RELAY, ANY, "the C library, for the clock of another process"),
    CALL(sendmsg, JAIL_PARENT_FILES, BOTH, ANY, "questions, answers and files between the job's processes"),
    CALL(recvmsg, JAIL_PARENT_FILES, BOTH, ANY, "likewise"),
    CALL(close, JAIL_PARTS_ALL, BOTH, ANY, "what is not needed any more"),

    CALL(kill, JAIL_PARTS_ALL, RELAY, ARGUMENTS(&children, &jail_kill_signal), "end the child"),
    CALL(wait4, JAIL_PARTS_ALL, RELAY, ANY, "how it has ended"),
    CALL(pidfd_open, JAIL_PARTS_ALL, RELAY, ANY, "wait for the guest's process, whose parent has ended"),
    CALL(rt_sigaction, JAIL_PARTS_ALL, RELAY, ANY, "signals as they were before the job"),
    CALL(rt_sigprocmask, JAIL_PARTS_ALL, BOTH, ANY, "likewise; the C library, in abort"),
    CALL(rt_sigpending, JAIL_PARTS_ALL, RELAY, ANY, "whether printing is to be given up"),
    CALL(rt_sigreturn, JAIL_PARTS_ALL, RELAY, ANY, "return from the handler of a timer that was late"),
    CALL(setitimer, JAIL_PARTS_ALL, RELAY, ARGUMENTS(&real_time), "the deadline, while the result is printed"),

    CALL(brk, JAIL_PARTS_ALL, BOTH, ANY, "heap"),
    CALL(mmap, JAIL_PARTS_ALL, BOTH, ARGUMENTS(&jail_not_executable, &jail_no_descriptor), "heap"),
    CALL(munmap, JAIL_PARTS_ALL, BOTH, ANY, "heap"),
    CALL(mremap, JAIL_PARTS_ALL, BOTH, ANY, "heap"),
    CALL(madvise, JAIL_PARTS_ALL, BOTH, ARGUMENTS(&memory_advice), "heap"),

    CALL(fstat, JAIL_PARTS_ALL, BOTH, ANY, "what kind of file standard output is, or one that was found"),
    CALL(newfstatat, JAIL_PARTS_ALL, BOTH, ARGUMENTS(&by_descriptor), "likewise, with other C libraries"),
    CALL(lseek, JAIL_PARTS_ALL, RELAY, ANY, "the C library, when standard streams end"),
    CALL(ioctl, JAIL_PARTS_ALL, RELAY, ARGUMENTS(&terminal), "whether it is a terminal, and how wide"),
    CALL(writev, JAIL_PARTS_ALL, BOTH, ARGUMENTS(&standard_error), "the C library, before it ends a broken process"),
    CALL(getpid, JAIL_PARTS_ALL, BOTH, ANY, "the C library, for tgkill"),
    CALL(gettid, JAIL_PARTS_ALL, BOTH, ANY, "likewise"),
    CALL(tgkill, JAIL_PARTS_ALL, BOTH, ARGUMENTS(&jail_own_process), "end by the signal that ended the job; abort"),
    CALL(exit_group, JAIL_PARTS_ALL, BOTH, ANY, "the end"),

    CALL(fsync, JAIL_PARENT_OUTPUT, RELAY, ANY, "an output, and its directory, on stable storage"),
    CALL(ftruncate, JAIL_PARENT_OUTPUT, RELAY, ARGUMENTS(&nothing),
         "half an output in the place of another file is none"),
    CALL(fcntl, JAIL_PARENT_OUTPUT, RELAY, ARGUMENTS(&copy), "errors that come when a file is closed"),
    CALL(getrandom, JAIL_PARENT_NEW_OUTPUT, RELAY, ANY, "a name that nobody else has"),
    CALL(linkat, JAIL_PARENT_NEW_OUTPUT, RELAY, ANY, "an output gets its name"),
    CALL(renameat, JAIL_PARENT_NEW_OUTPUT, RELAY, ANY, "likewise, where the file had another one"),
    CALL(renameat2, JAIL_PARENT_NEW_OUTPUT, RELAY, ANY, "likewise, in exchange for the old file,"),
    CALL(unlinkat, JAIL_PARENT_NEW_OUTPUT, RELAY, ANY, "which is removed; as is an output that is not complete"),
    CALL(openat, JAIL_PARENT_NEW_OUTPUT, RELAY, ARGUMENTS(&directory),
         "the output's directory, for fsync; what is replaced"),

    CALL(openat2, JAIL_PARENT_FILES, OPENER, ANY, "look a file up beneath an allowed directory"),
    CALL(fstatfs, JAIL_PARENT_FILES, OPENER, ANY, "whether it is on a file system of the kernel's own"),
    CALL(readlink, JAIL_PARENT_FILES, OPENER, ANY, "where a directory is"),
    CALL(openat, JAIL_PARENT_FILES, OPENER, ARGUMENTS(&reading), "open what was found"),
    CALL(fcntl, JAIL_PARENT_FILES, OPENER, ARGUMENTS(&status_flags), "likewise"),
    CALL(fcntl, JAIL_PARENT_FILES, OPENER, ARGUMENTS(&copy), "a second handle on a file that the user named"),
};

const size_t jail_parent_call_count = ARRAY_COUNT(jail_parent_calls);

static struct jail_call_choice choice_of(uint32_t parts, enum jail_parent_role role)
{
    return (struct jail_call_choice){
        .table = jail_parent_calls,
        .count = jail_parent_call_count,
        .parts = parts,
        .threads = 1u << role,
    };
}

bool jail_parent_call_is_kept(const struct jail_call *call, uint32_t parts, enum jail_parent_role role)
{
    struct jail_call_choice choice = choice_of(parts, role);
    return jail_call_is_chosen(call, &choice);
}

/* Says what happened, and ends. Of the C library, nothing that takes memory or locks. */
static void violation_handle(int signal_number UNUSED, siginfo_t *information, void *context UNUSED)
{
    char message[128];
    snprintf(message, sizeof(message), "%.40s: this process attempted system call %d, which its list forbids\n",
             program_invocation_short_name, information->si_syscall);
    struct pollfd errors = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&errors, 1, 0) > 0) {
        ssize_t ignored UNUSED = write(STDERR_FILENO, message, strlen(message));
    }
    _exit(EXIT_FAILURE);
}

bool jail_parent_confine(const struct jail_parent_config *config, struct error *error)
{
    if (JAIL_HAS_SANITIZER) {
        return true; /* its reports stop all threads by ptrace, and read files */
    }
    struct jail_call_choice choice = choice_of(config->parts, config->role);
    struct jail_config values = {.child_pids = {config->children[0], config->children[1]}};
    static struct jail_filter filter; /* large: on the stack, each page of it would be touched */
    return jail_filter_make(&filter, &choice, &values, error) && jail_violations_watch(violation_handle, error) &&
           jail_filter_load(&filter, error);
}
