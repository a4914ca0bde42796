/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jail/escapes.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail.h"
#include "tests/jail/jail_probe.h"

static char file[] = "/etc/passwd";
static char directory[] = "/";
static char shell[] = "/bin/sh";
static char *const no_strings[] = {NULL};
static uint64_t room[64];
static struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
static uint64_t fork_arguments[8] = {[4] = SIGCHLD}; /* struct clone_args */
static uint64_t open_how[3];

/* Filled in by escapes_run: what is only known then. */
static long parent;
static long kvm_fd = -1;

struct escape {
    const char *name;
    struct probe probe;
    uint32_t is_needed_by; /* enum jail_part: what it is not an escape for */
};

#define ADDRESS(object) ((long)(uintptr_t)(object))
enum { PARENT_MARK = -1000, KVM_MARK = -1001 };

#define TRY(call, ...)                                                 \
    {                                                                  \
#call, {.number = SYS_##call, .arguments = {__VA_ARGS__ } }, 0 \
    }

static const struct escape escapes[] = {
    /* Files by name. */
    TRY(open, ADDRESS(file), O_RDONLY),
    TRY(openat, AT_FDCWD, ADDRESS(file), O_RDONLY),
    TRY(openat2, AT_FDCWD, ADDRESS(file), ADDRESS(open_how), sizeof(open_how)),
    TRY(creat, ADDRESS("/tmp/instar-escape"), 0600),
    TRY(stat, ADDRESS(file), ADDRESS(room)),
    TRY(newfstatat, AT_FDCWD, ADDRESS(file), ADDRESS(room), 0),
    TRY(statx, AT_FDCWD, ADDRESS(file), 0, 0, ADDRESS(room)),
    TRY(access, ADDRESS(file), R_OK),
    TRY(getdents64, 0, ADDRESS(room), sizeof(room)),
    TRY(unlink, ADDRESS("/tmp/instar-escape")),
    TRY(rename, ADDRESS("/tmp/instar-escape"), ADDRESS("/tmp/instar-escaped")),
    TRY(symlink, ADDRESS(file), ADDRESS("/tmp/instar-escape")),
    TRY(linkat, AT_FDCWD, ADDRESS(file), AT_FDCWD, ADDRESS("/tmp/instar-escape"), 0),
    TRY(chmod, ADDRESS("/tmp/instar-escape"), 0777),
    TRY(truncate, ADDRESS("/tmp/instar-escape"), 0),
    TRY(chroot, ADDRESS(directory)),
    TRY(chdir, ADDRESS(directory)),
    TRY(mount, ADDRESS("none"), ADDRESS(directory), ADDRESS("tmpfs"), 0, 0),
    TRY(name_to_handle_at, AT_FDCWD, ADDRESS(file), ADDRESS(room), ADDRESS(room), 0),
    TRY(open_by_handle_at, AT_FDCWD, ADDRESS(room), O_RDONLY),
    TRY(inotify_init1, 0),

    /* Descriptors of other kinds, and what descriptors can do besides reading and writing. */
    TRY(dup, 0),
    TRY(dup2, 0, 9),
    TRY(fcntl, 0, F_DUPFD, 0),
    TRY(pipe2, ADDRESS(room), 0),
    TRY(memfd_create, ADDRESS("escape"), 0),
    TRY(eventfd2, 0, 0),
    TRY(epoll_ctl, 0, 1, 0, ADDRESS(room)),
    {"ftruncate", {.number = SYS_ftruncate}, 0},
    /* Standard error, and whatever else is no file: neither cut, nor overwritten, nor written to at an offset. */
    {"pwritev", {.number = SYS_pwritev, .arguments = {2, ADDRESS(room), 1}}, 0},
    {"fallocate", {.number = SYS_fallocate, .arguments = {2, 3, 0, 4096}}, 0},
    {"fdatasync", {.number = SYS_fdatasync, .arguments = {2}}, 0},
    TRY(ioctl, 2, FICLONERANGE, ADDRESS(room)),
    /* Files are read and written as what they are. */
    TRY(write, PROBE_OUTPUT_FIRST, ADDRESS(room), 1),
    TRY(write, PROBE_INPUT_FIRST, ADDRESS(room), 1),
    TRY(read, PROBE_INPUT_FIRST, ADDRESS(room), 1),
    TRY(read, 0x100000000, ADDRESS(room), 1),
    {"pwritev", {.number = SYS_pwritev, .arguments = {PROBE_INPUT_FIRST, ADDRESS(room), 1}}, 0},
    {"ftruncate", {.number = SYS_ftruncate, .arguments = {PROBE_INPUT_FIRST}}, 0},
    TRY(pidfd_send_signal, 0, SIGKILL, 0, 4 /* PIDFD_SIGNAL_PROCESS_GROUP */),
    TRY(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 2, 0),
    TRY(fchmod, 0, 0777),
    TRY(fchown, 0, 0, 0),
    TRY(sendfile, 1, 0, 0, 1),
    TRY(copy_file_range, 0, 0, 1, 0, 1, 0),
    TRY(ioctl, 0, TIOCSTI, ADDRESS("x")),
    TRY(ioctl, 0, FIONREAD, ADDRESS(room)),
    TRY(ioctl, KVM_MARK, KVM_CREATE_VM, 0),
    TRY(ioctl, KVM_MARK, KVM_CREATE_VCPU, 0),
    TRY(ioctl, KVM_MARK, KVM_SET_USER_MEMORY_REGION, ADDRESS(room)),
    TRY(ioctl, KVM_MARK, KVM_SET_SREGS, ADDRESS(room)),
    TRY(ioctl, KVM_MARK, KVM_IOEVENTFD, ADDRESS(room)),
    TRY(ioctl, KVM_MARK, KVM_CREATE_DEVICE, ADDRESS(room)),

    /* The network, and whoever else listens. */
    TRY(socket, AF_INET, SOCK_STREAM, 0),
    TRY(socket, AF_UNIX, SOCK_STREAM, 0),
    TRY(socketpair, AF_UNIX, SOCK_STREAM, 0, ADDRESS(room)),
    TRY(connect, 0, ADDRESS(room), 16),
    TRY(bind, 0, ADDRESS(room), 16),
    TRY(sendmsg, 0, ADDRESS(room), 0),
    TRY(sendto, 0, ADDRESS(room), 1, 0, ADDRESS(room), 16),
    TRY(shmget, 0, 4096, 01777),
    TRY(mq_open, ADDRESS("/escape"), O_CREAT, 0600, 0),

    /* Programs and processes. */
    TRY(execve, ADDRESS(shell), ADDRESS(no_strings), ADDRESS(no_strings)),
    TRY(execveat, AT_FDCWD, ADDRESS(shell), ADDRESS(no_strings), ADDRESS(no_strings), 0),
    TRY(fork),
    TRY(vfork),
    TRY(clone, SIGCHLD),
    TRY(clone, CLONE_NEWUSER | SIGCHLD),
    TRY(clone3, ADDRESS(fork_arguments), sizeof(fork_arguments)),
    TRY(unshare, CLONE_NEWUSER),
    TRY(setns, 0, 0),
    TRY(ptrace, PTRACE_ATTACH, PARENT_MARK),
    TRY(ptrace, PTRACE_TRACEME),
    TRY(process_vm_readv, PARENT_MARK, ADDRESS(room), 1, ADDRESS(room), 1, 0),
    TRY(process_vm_writev, PARENT_MARK, ADDRESS(room), 1, ADDRESS(room), 1, 0),
    TRY(kill, PARENT_MARK, SIGTERM),
    TRY(kill, -1, SIGTERM),
    TRY(tkill, PARENT_MARK, SIGTERM),
    TRY(tgkill, PARENT_MARK, PARENT_MARK, SIGTERM),
    TRY(rt_sigqueueinfo, PARENT_MARK, SIGTERM, ADDRESS(room)),
    TRY(rt_tgsigqueueinfo, PARENT_MARK, PARENT_MARK, SIGTERM, ADDRESS(room)),
    TRY(pidfd_open, PARENT_MARK, 0),
    TRY(pidfd_getfd, 0, 0, 0),
    TRY(pidfd_send_signal, 0, SIGTERM, 0, 0),
    TRY(setpriority, PRIO_PROCESS, PARENT_MARK, 19),
    TRY(prlimit64, PARENT_MARK, RLIMIT_CPU, ADDRESS(&unlimited), 0),
    TRY(getrusage, RUSAGE_CHILDREN, ADDRESS(room)),

    /* Code. */
    TRY(mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    TRY(mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    TRY(mprotect, ADDRESS(room), 4096, PROT_READ | PROT_EXEC),
    TRY(pkey_mprotect, ADDRESS(room), 4096, PROT_READ | PROT_EXEC, -1),
    TRY(mremap, ADDRESS(room), 4096, 8192, MREMAP_MAYMOVE),
    TRY(remap_file_pages, ADDRESS(room), 4096, 0, 0, 0),
    TRY(uselib, ADDRESS(shell)),
    TRY(modify_ldt, 1, ADDRESS(room), 16),
    TRY(arch_prctl, 0x1001, 0),

    /* Privileges, and the jail itself. */
    TRY(setuid, 0),
    TRY(setresuid, 0, 0, 0),
    TRY(setgroups, 0, 0),
    TRY(capset, ADDRESS(room), ADDRESS(room)),
    TRY(prctl, PR_SET_DUMPABLE, 1),
    TRY(prctl, PR_SET_PDEATHSIG, 0),
    TRY(setrlimit, RLIMIT_NOFILE, ADDRESS(&unlimited)),
    TRY(seccomp, SECCOMP_GET_ACTION_AVAIL, 0, ADDRESS(room)),
    TRY(rt_sigaction, SIGSYS, ADDRESS(room), 0, 8),
    TRY(personality, 0x0400000),

    /* Parts of the kernel that a job does not need. */
    TRY(io_uring_setup, 8, ADDRESS(room)),
    TRY(io_uring_register, 0, IORING_REGISTER_FILES, ADDRESS(room), 1),
    TRY(io_uring_register, 0, IORING_REGISTER_RESTRICTIONS, ADDRESS(room), 1),
    TRY(bpf, 0, ADDRESS(room), sizeof(room)),
    TRY(perf_event_open, ADDRESS(room), 0, -1, -1, 0),
    TRY(userfaultfd, 0),
    TRY(keyctl, 0, 0),
    TRY(add_key, ADDRESS("user"), ADDRESS("escape"), ADDRESS("x"), 1, -3),
    TRY(landlock_create_ruleset, 0, 0, 1),
    TRY(init_module, ADDRESS(room), 0, ADDRESS("")),
    TRY(kexec_load, 0, 0, 0, 0),
    TRY(reboot, 0, 0, 0, 0),
    TRY(syslog, 10, 0, 0),
    TRY(acct, 0),
    TRY(swapon, ADDRESS(file), 0),
    TRY(futex, ADDRESS(room), 11 /* FUTEX_WAIT_REQUEUE_PI */, 0, 0, ADDRESS(room), 0),
    TRY(futex, ADDRESS(room), 7 /* FUTEX_UNLOCK_PI */, 0, 0, 0, 0),
    TRY(fallocate, 0, 0, 0, 4096),
    TRY(madvise, ADDRESS(room), 4096, 100 /* MADV_HWPOISON */),
};

static long argument_resolve(long argument)
{
    switch (argument) {
    case PARENT_MARK:
        return parent;
    case KVM_MARK:
        return kvm_fd;
    default:
        return argument;
    }
}

static bool escape_run(uint32_t parts, const struct escape *escape, enum jail_role role)
{
    struct probe probe = escape->probe;
    for (unsigned int i = 0; i < PROBE_ARGUMENT_COUNT; i++) {
        probe.arguments[i] = argument_resolve(probe.arguments[i]);
    }
    enum probe_outcome outcome = probe_run(parts, role, &probe);
    if (outcome == PROBE_FORBIDDEN) {
        return true;
    }
    printf("%s(%ld, %ld, ...): %s\n", escape->name, probe.arguments[0], probe.arguments[1],
           probe_outcome_name(outcome));
    return false;
}

/* The other doors to the kernel: 32-bit system calls and those of x32. */
static void enter_32_bit(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid */) : "memory", "r8", "r9", "r10", "r11");
}

static void enter_x32(void)
{
    syscall(0x40000000 | SYS_getpid);
}

static bool door_run(uint32_t parts, const char *name, void (*enter)(void))
{
    enum probe_outcome outcome = probe_run_code(parts, enter);
    if (outcome == PROBE_KILLED || outcome == PROBE_FORBIDDEN) {
        return true;
    }
    printf("%s: %s\n", name, probe_outcome_name(outcome));
    return false;
}

/* Some hosts have no gate for 32-bit programs: there the instruction is a fault in every process. */
static bool has_32_bit_gate(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        enter_32_bit();
        _exit(0);
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status);
}

bool escapes_run(uint32_t parts)
{
    bool all_failed = true;
    parent = getpid();
    kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_COUNT(escapes); i++) {
        if ((escapes[i].is_needed_by & parts) != 0) {
            continue;
        }
        for (unsigned int role = 0; role < JAIL_ROLE_COUNT; role++) {
            all_failed = escape_run(parts, &escapes[i], role) && all_failed;
        }
    }
    all_failed = (!has_32_bit_gate() || door_run(parts, "32-bit getpid", enter_32_bit)) && all_failed;
    all_failed = door_run(parts, "x32 getpid", enter_x32) && all_failed;
    close((int)kvm_fd);
    return all_failed;
}
