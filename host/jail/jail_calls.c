/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_calls.h"

#include <asm/termbits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/attributes.h"
#include "host/jail/jail.h"

#define WHOLE UINT64_MAX

static const struct jail_argument vcpu_requests = {
    .text = "KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS",
    .index = 1,
    .mask = WHOLE,
    .value_count = 3,
    .values = {KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS},
};

static const struct jail_argument kill_signal = {
    .text = "SIGKILL",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {SIGKILL},
};

static const struct jail_argument by_descriptor = {
    .text = "P_PIDFD",
    .index = 0,
    .mask = WHOLE,
    .value_count = 1,
    .values = {P_PIDFD},
};

static const struct jail_argument futex_operations = {
    .text = "wait, wake",
    .index = 1,
    .mask = ~(uint64_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME),
    .value_count = 3,
    .values = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET},
};

static const struct jail_argument allocation_modes = {
    .text = "punch a hole, zero a range",
    .index = 1,
    .mask = WHOLE,
    .value_count = 2,
    .values = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE},
};

static const struct jail_argument not_executable = {
    .text = "not executable",
    .index = 2,
    .mask = PROT_EXEC,
    .value_count = 1,
    .values = {0},
};

static const struct jail_argument advice = {
    .text = "MADV_DONTNEED, MADV_SEQUENTIAL",
    .index = 2,
    .mask = WHOLE,
    .value_count = 2,
    .values = {MADV_DONTNEED, MADV_SEQUENTIAL},
};

static const struct jail_argument own_process = {
    .text = "the process itself",
    .index = 0,
    .mask = WHOLE,
    .is_own_process = true,
};

static const struct jail_argument unregister_files = {
    .text = "IORING_UNREGISTER_FILES",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {IORING_UNREGISTER_FILES},
};

static const struct jail_argument own_usage = {
    .text = "RUSAGE_SELF",
    .index = 0,
    .mask = WHOLE,
    .value_count = 1,
    .values = {RUSAGE_SELF},
};

static const struct jail_argument share_request = {
    .text = "FICLONERANGE",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {FICLONERANGE},
};

static const struct jail_argument daemon_sockets = {
    .text = "to the sockets of daemons",
    .index = 0,
    .mask = UINT32_MAX,
    .value_count = 2,
    .values = {JAIL_DAEMON_FD_FIRST, JAIL_DAEMON_FD_FIRST + 1},
};

static const struct jail_argument no_address = {
    .text = "to no address",
    .index = 4,
    .mask = WHOLE,
    .value_count = 1,
    .values = {0},
};

static const struct jail_argument terminal_test = {
    .text = "TCGETS",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {TCGETS},
};

#define CALL(name, parts, argument, reason)              \
    {                                                    \
#name, SYS_##name, (parts), (argument), (reason) \
    }

/* Those that transfer by system call. */
#define BACKENDS_PLAIN (JAIL_BACKEND_REGULAR | JAIL_BACKEND_DIRECT | JAIL_BACKEND_MMAP | JAIL_BACKEND_MEMORY)
#define BACKENDS (BACKENDS_PLAIN | JAIL_BACKEND_IO_URING)

const struct jail_call jail_calls[] = {
    CALL(ioctl, JAIL_ENGINE_KVM, &vcpu_requests, "run a vCPU, and find where it stands after a fault"),
    CALL(pidfd_send_signal, JAIL_ENGINE_PROCESS, &kill_signal, "end the guest's process"),
    CALL(waitid, JAIL_ENGINE_PROCESS, &by_descriptor, "how the guest's process has ended"),

    CALL(read, JAIL_PARTS_ALL, NULL, "take events from eventfds; the kernel's statistics"),
    CALL(write, JAIL_PARTS_ALL, NULL, "signal eventfds, tell the parent, crash reports"),
    CALL(ppoll, JAIL_PARTS_ALL, NULL,
         "the first thread waits for the machine's end, a vCPU of the process engine for its guest"),
    CALL(epoll_wait, JAIL_PARTS_ALL, NULL, "I/O threads wait for kicks and completions"),
    CALL(futex, JAIL_PARTS_ALL, &futex_operations, "locks, vCPUs that wait for a completion, the end of threads"),
    CALL(close, JAIL_PARTS_ALL, NULL, "images are closed before the result is reported"),

    CALL(preadv, BACKENDS_PLAIN | JAIL_LATE_FILES | JAIL_COPIES, NULL, "read an image"),
    CALL(pwritev, BACKENDS, NULL, "write an image, zeros where the file system cannot make them"),
    CALL(lseek, BACKENDS | JAIL_LATE_FILES, NULL, "find data, holes and the end of an image"),
    CALL(fallocate, BACKENDS, &allocation_modes, "discard, write zeros"),
    CALL(fdatasync, BACKENDS_PLAIN, NULL, "flush"),
    CALL(fstat, JAIL_BACKEND_MEMORY, NULL, "how much memory the memory device holds"),
    CALL(ioctl, JAIL_COPIES, &share_request, "copy by sharing storage"),
    CALL(ftruncate, JAIL_RESIZABLE_OUTPUT, NULL, "the length of an output, as the guest sets it"),
    CALL(io_uring_enter, JAIL_BACKEND_IO_URING, NULL, "operations on a ring that is restricted itself"),
    CALL(io_uring_register, JAIL_BACKEND_IO_URING, &unregister_files, "let go of the image"),

    CALL(mmap, JAIL_PARTS_ALL, &not_executable, "heap, windows of the mmap backend"),
    CALL(munmap, JAIL_PARTS_ALL, NULL, "heap, windows of the mmap backend, ring of io_uring, stacks of ended threads"),
    CALL(brk, JAIL_PARTS_ALL, NULL, "heap"),
    CALL(madvise, JAIL_PARTS_ALL, &advice, "stacks of ended threads, read-ahead of the mmap backend"),

    CALL(exit, JAIL_PARTS_ALL, NULL, "the end of a thread"),
    CALL(exit_group, JAIL_PARTS_ALL, NULL, "the end of the process"),
    CALL(rt_sigprocmask, JAIL_PARTS_ALL, NULL, "the C library, around tgkill and at the end of a thread"),
    CALL(rt_sigreturn, JAIL_PARTS_ALL, NULL, "return from the signal that stops a vCPU"),
    CALL(tgkill, JAIL_PARTS_ALL, &own_process, "stop a vCPU, abort"),
    CALL(getpid, JAIL_PARTS_ALL, NULL, "the C library, for tgkill"),
    CALL(gettid, JAIL_PARTS_ALL, NULL, "the C library, for tgkill in abort"),

    CALL(recvmsg, JAIL_LATE_FILES | JAIL_SOCKETS, NULL,
         "files that the policy allowed come from the parent; data of a transport's connection"),
    CALL(fadvise64, JAIL_LATE_FILES | JAIL_COPIES, NULL,
         "read-ahead of late files, and of what is looked at for zeros"),

    CALL(sendmsg, JAIL_DAEMONS, &daemon_sockets,
         "where the guest has its queues, and their eventfds, to a daemon that serves them"),
    CALL(sendto, JAIL_SOCKETS, &no_address, "data of a transport's connection"),
    CALL(shutdown, JAIL_SOCKETS, NULL, "the end of data on it"),

    CALL(getrusage, JAIL_STATISTICS, &own_usage, "peak memory"),
    CALL(clock_gettime, JAIL_STATISTICS, NULL, "wall time, on machines where the C library cannot tell on its own"),

    /* For tests only: no program that anybody installs has these. */
    CALL(ioctl, JAIL_SANITIZER, &terminal_test, "sanitizer: whether its report goes to a terminal"),
    CALL(open, JAIL_SANITIZER, NULL, "sanitizer: its log, /proc/self/maps"),
    CALL(openat, JAIL_SANITIZER, NULL, "sanitizer: its log, /proc/self/maps"),
    CALL(stat, JAIL_SANITIZER, NULL, "sanitizer: files it reads for a report"),
    CALL(newfstatat, JAIL_SANITIZER, NULL, "sanitizer: files it reads for a report"),
    CALL(fstat, JAIL_SANITIZER, NULL, "sanitizer: files it reads for a report"),
    CALL(readlink, JAIL_SANITIZER, NULL, "sanitizer: the program's name"),
    CALL(readlinkat, JAIL_SANITIZER, NULL, "sanitizer: the program's name"),
    CALL(pread64, JAIL_SANITIZER, NULL, "sanitizer: reads debug information"),
    CALL(fcntl, JAIL_SANITIZER, NULL, "sanitizer: its log"),
    CALL(mprotect, JAIL_SANITIZER, &not_executable, "sanitizer: its memory"),
    CALL(mremap, JAIL_SANITIZER, NULL, "sanitizer: its memory"),
    CALL(madvise, JAIL_SANITIZER, NULL, "sanitizer: its memory"),
    CALL(sigaltstack, JAIL_SANITIZER, NULL, "sanitizer: the end of a thread"),
    CALL(rt_sigaction, JAIL_SANITIZER, NULL, "sanitizer: before it aborts"),
    CALL(sched_yield, JAIL_SANITIZER, NULL, "sanitizer: its locks"),
    CALL(getrlimit, JAIL_SANITIZER, NULL, "sanitizer: the bounds of a stack"),
    CALL(prlimit64, JAIL_SANITIZER, NULL, "sanitizer: the bounds of a stack"),
    CALL(writev, JAIL_SANITIZER, NULL, "sanitizer: messages"),
    CALL(clock_gettime, JAIL_SANITIZER, NULL, "sanitizer: its allocator"),
};

const size_t jail_call_count = ARRAY_COUNT(jail_calls);

bool jail_call_is_kept(const struct jail_call *call, uint32_t parts)
{
    return call->parts == JAIL_PARTS_ALL || (call->parts & parts) != 0;
}
