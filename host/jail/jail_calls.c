/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_calls.h"

#include <asm/termbits.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/attributes.h"
#include "host/jail/jail.h"
#include "host/jail/jail_call_rows.h"

static const struct jail_argument vcpu_requests = {
    .text = "KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS",
    .index = 1,
    .mask = WHOLE,
    .value_count = 3,
    .values = {KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS},
};

const struct jail_argument jail_kill_signal = {
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

const struct jail_argument jail_not_executable = {
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

const struct jail_argument jail_own_process = {
    .text = "the process itself",
    .index = 0,
    .kind = JAIL_ARGUMENT_OWN_PROCESS,
    .mask = WHOLE,
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

static const struct jail_argument storage_request = {
    .text = "FS_IOC_FIEMAP",
    .index = 1,
    .mask = WHOLE,
    .value_count = 1,
    .values = {FS_IOC_FIEMAP},
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

static const struct jail_argument no_flags = {
    .text = "no flags",
    .index = 3,
    .mask = WHOLE,
    .value_count = 1,
    .values = {0},
};

static const struct jail_argument no_file = {
    .text = "eventfds and pipes",
    .index = 0,
    .kind = JAIL_ARGUMENT_NO_FILE,
};

static const struct jail_argument outputs = {
    .text = "outputs",
    .index = 0,
    .kind = JAIL_ARGUMENT_OUTPUT,
};

/* The low half: the C library passes an int. */
const struct jail_argument jail_no_descriptor = {
    .text = "memory",
    .index = 4,
    .mask = UINT32_MAX,
    .value_count = 1,
    .values = {UINT32_MAX},
};

static const struct jail_argument of_images = {
    .text = "images",
    .index = 4,
    .kind = JAIL_ARGUMENT_FILE,
};

/* Those that transfer by system call. */
#define BACKENDS_PLAIN (JAIL_BACKEND_REGULAR | JAIL_BACKEND_DIRECT | JAIL_BACKEND_MMAP | JAIL_BACKEND_MEMORY)
#define BACKENDS (BACKENDS_PLAIN | JAIL_BACKEND_IO_URING)
#define ALL JAIL_THREADS_ALL

const struct jail_call jail_calls[] = {
    CALL(ioctl, JAIL_ENGINE_KVM, JAIL_VCPU, ARGUMENTS(&vcpu_requests),
         "run a vCPU, and find where it stands after a fault"),
    CALL(futex, JAIL_PARTS_ALL, ALL, ARGUMENTS(&futex_operations),
         "locks, vCPUs that wait for a completion, the end of threads"),
    CALL(restart_syscall, JAIL_PARTS_ALL, ALL, ANY, "the kernel, to go on with a timed wait after a stop"),
    CALL(read, JAIL_PARTS_ALL, ALL, ARGUMENTS(&no_file), "take events from eventfds; the kernel's statistics"),
    CALL(write, JAIL_PARTS_ALL, ALL, ARGUMENTS(&no_file), "signal eventfds, tell the parent, crash reports"),
    CALL(epoll_wait, JAIL_PARTS_ALL, JAIL_DEVICE, ANY, "I/O threads wait for kicks and completions"),
    CALL(ppoll, JAIL_PARTS_ALL, JAIL_FIRST, ANY, "the first thread waits for the machine's end"),
    CALL(ppoll, JAIL_ENGINE_PROCESS, JAIL_VCPU, ANY, "a vCPU waits for its guest"),
    CALL(ppoll, JAIL_DAEMONS, JAIL_DEVICE, ANY, "an I/O thread looks whether a daemon has gone"),

    CALL(preadv, BACKENDS_PLAIN | JAIL_LATE_FILES | JAIL_COPIES, JAIL_DEVICE, ANY, "read an image"),
    CALL(pwritev, BACKENDS, JAIL_DEVICE, ARGUMENTS(&outputs),
         "write an image, zeros where the file system cannot make them"),
    CALL(lseek, BACKENDS | JAIL_LATE_FILES, JAIL_DEVICE, ANY, "find data, holes and the end of an image"),
    CALL(lseek, JAIL_LATE_FILES, JAIL_FIRST, ANY, "a late file's end"),
    CALL(fallocate, BACKENDS, JAIL_DEVICE, ARGUMENTS(&allocation_modes, &outputs), "discard, write zeros"),
    CALL(fdatasync, BACKENDS_PLAIN, JAIL_DEVICE, ARGUMENTS(&outputs), "flush"),
    CALL(sync_file_range, JAIL_BACKEND_REGULAR | JAIL_COPIES, JAIL_DEVICE, ARGUMENTS(&outputs), "begin with it before"),
    CALL(ioctl, JAIL_COPIES, JAIL_DEVICE, ARGUMENTS(&share_request, &outputs), "copy by sharing storage"),
    CALL(ftruncate, JAIL_RESIZABLE_OUTPUT, JAIL_DEVICE, ARGUMENTS(&outputs),
         "the length of an output, as the guest sets it"),
    CALL(fstatfs, JAIL_MIN_FREE, JAIL_DEVICE, ARGUMENTS(&outputs), "how much is free where an output grows"),
    CALL(fstat, JAIL_MIN_FREE, JAIL_DEVICE, ARGUMENTS(&outputs), "how much storage it has"),
    CALL(ioctl, JAIL_MIN_FREE, JAIL_DEVICE, ARGUMENTS(&storage_request, &outputs), "where it has some"),
    CALL(fadvise64, JAIL_LATE_FILES | JAIL_COPIES, JAIL_FIRST | JAIL_DEVICE, ANY,
         "read-ahead of late files, and of what is looked at for zeros"),
    CALL(fstat, JAIL_BACKEND_MEMORY, JAIL_FIRST | JAIL_DEVICE, ANY, "how much memory the memory device holds"),
    CALL(preadv, JAIL_BACKEND_MEMORY, JAIL_FIRST, ANY, "at the end: what the memory device holds,"),
    CALL(pwritev, JAIL_BACKEND_MEMORY, JAIL_FIRST, ARGUMENTS(&outputs), "written to its file,"),
    CALL(lseek, JAIL_BACKEND_MEMORY, JAIL_FIRST, ANY, "without its holes"),
    CALL(fallocate, JAIL_BACKEND_MEMORY, JAIL_FIRST, ARGUMENTS(&allocation_modes, &outputs), "which the file gets,"),
    CALL(fdatasync, JAIL_BACKEND_MEMORY, JAIL_FIRST, ARGUMENTS(&outputs), "and flushed"),

    CALL(io_uring_enter, JAIL_BACKEND_IO_URING, JAIL_FIRST | JAIL_DEVICE, ANY,
         "operations on a ring that is restricted itself"),
    CALL(io_uring_register, JAIL_BACKEND_IO_URING, JAIL_FIRST, ARGUMENTS(&unregister_files), "let go of the image"),

    CALL(mmap, JAIL_PARTS_ALL, ALL, ARGUMENTS(&jail_not_executable, &jail_no_descriptor), "heap"),
    CALL(mmap, JAIL_BACKEND_MMAP, JAIL_DEVICE, ARGUMENTS(&jail_not_executable, &of_images),
         "windows of the mmap backend"),
    CALL(munmap, JAIL_PARTS_ALL, ALL, ANY,
         "heap, windows of the mmap backend, ring of io_uring, stacks of ended threads"),
    CALL(brk, JAIL_PARTS_ALL, ALL, ANY, "heap"),
    CALL(madvise, JAIL_PARTS_ALL, ALL, ARGUMENTS(&advice), "stacks of ended threads, read-ahead of the mmap backend"),

    CALL(pidfd_send_signal, JAIL_ENGINE_PROCESS, ALL, ARGUMENTS(&jail_kill_signal, &no_flags),
         "end the guest's process"),
    CALL(waitid, JAIL_ENGINE_PROCESS, JAIL_VCPU, ARGUMENTS(&by_descriptor), "how the guest's process has ended"),
    CALL(close, JAIL_PARTS_ALL, JAIL_FIRST, ANY, "images are closed before the result is reported"),
    CALL(close, JAIL_LATE_FILES | JAIL_SOCKETS | JAIL_DAEMONS, JAIL_VCPU | JAIL_DEVICE, ANY,
         "connections and files that are no longer needed"),
    CALL(exit, JAIL_PARTS_ALL, JAIL_VCPU | JAIL_DEVICE, ANY, "the end of a thread"),
    CALL(exit_group, JAIL_PARTS_ALL, JAIL_FIRST, ANY, "the end of the process"),
    CALL(rt_sigprocmask, JAIL_PARTS_ALL, ALL, ANY, "the C library, around tgkill and at the end of a thread"),
    CALL(rt_sigreturn, JAIL_PARTS_ALL, ALL, ANY, "return from the signal that stops a vCPU"),
    CALL(tgkill, JAIL_PARTS_ALL, ALL, ARGUMENTS(&jail_own_process), "stop a vCPU, abort"),
    CALL(getpid, JAIL_PARTS_ALL, ALL, ANY, "the C library, for tgkill"),
    CALL(gettid, JAIL_PARTS_ALL, ALL, ANY, "the C library, for tgkill in abort"),

    CALL(recvmsg, JAIL_LATE_FILES, JAIL_FIRST, ANY, "files that the policy allowed come from the parent"),
    CALL(recvmsg, JAIL_SOCKETS, JAIL_VCPU | JAIL_DEVICE, ANY, "data of a transport's connection"),
    CALL(sendto, JAIL_SOCKETS, JAIL_VCPU | JAIL_DEVICE, ARGUMENTS(&no_address), "likewise, the other way"),
    CALL(shutdown, JAIL_SOCKETS, JAIL_VCPU | JAIL_DEVICE, ANY, "the end of data on it"),
    CALL(sendmsg, JAIL_DAEMONS, JAIL_VCPU | JAIL_DEVICE, ARGUMENTS(&daemon_sockets),
         "where the guest has its queues, and their eventfds, to a daemon that serves them"),

    CALL(getrusage, JAIL_STATISTICS, JAIL_FIRST, ARGUMENTS(&own_usage), "peak memory"),
    CALL(clock_gettime, JAIL_STATISTICS, JAIL_FIRST, ANY,
         "wall time, on machines where the C library cannot tell on its own"),

    /* For tests only: no program that anybody installs has these. */
    CALL(ioctl, JAIL_SANITIZER, ALL, ARGUMENTS(&terminal_test), "sanitizer: whether its report goes to a terminal"),
    CALL(open, JAIL_SANITIZER, ALL, ANY, "sanitizer: its log, /proc/self/maps"),
    CALL(openat, JAIL_SANITIZER, ALL, ANY, "sanitizer: its log, /proc/self/maps"),
    CALL(read, JAIL_SANITIZER, ALL, ANY, "sanitizer: files it reads for a report"),
    CALL(close, JAIL_SANITIZER, ALL, ANY, "sanitizer: files it reads for a report"),
    CALL(mmap, JAIL_SANITIZER, ALL, ANY, "sanitizer: its memory"),
    CALL(stat, JAIL_SANITIZER, ALL, ANY, "sanitizer: files it reads for a report"),
    CALL(newfstatat, JAIL_SANITIZER, ALL, ANY, "sanitizer: files it reads for a report"),
    CALL(fstat, JAIL_SANITIZER, ALL, ANY, "sanitizer: files it reads for a report"),
    CALL(lseek, JAIL_SANITIZER, ALL, ANY, "sanitizer: files it reads for a report"),
    CALL(readlink, JAIL_SANITIZER, ALL, ANY, "sanitizer: the program's name"),
    CALL(readlinkat, JAIL_SANITIZER, ALL, ANY, "sanitizer: the program's name"),
    CALL(pread64, JAIL_SANITIZER, ALL, ANY, "sanitizer: reads debug information"),
    CALL(fcntl, JAIL_SANITIZER, ALL, ANY, "sanitizer: its log"),
    CALL(exit_group, JAIL_SANITIZER, ALL, ANY, "sanitizer: the end after a report"),
    CALL(mprotect, JAIL_SANITIZER, ALL, ARGUMENTS(&jail_not_executable), "sanitizer: its memory"),
    CALL(mremap, JAIL_SANITIZER, ALL, ANY, "sanitizer: its memory"),
    CALL(madvise, JAIL_SANITIZER, ALL, ANY, "sanitizer: its memory"),
    CALL(sigaltstack, JAIL_SANITIZER, ALL, ANY, "sanitizer: the end of a thread"),
    CALL(rt_sigaction, JAIL_SANITIZER, ALL, ANY, "sanitizer: before it aborts"),
    CALL(sched_yield, JAIL_SANITIZER, ALL, ANY, "sanitizer: its locks"),
    CALL(gettimeofday, JAIL_SANITIZER, ALL, ANY, "sanitizer: how long its threads wait"),
    CALL(getrlimit, JAIL_SANITIZER, ALL, ANY, "sanitizer: the bounds of a stack"),
    CALL(prlimit64, JAIL_SANITIZER, ALL, ANY, "sanitizer: the bounds of a stack"),
    CALL(writev, JAIL_SANITIZER, ALL, ANY, "sanitizer: messages"),
    CALL(clock_gettime, JAIL_SANITIZER, ALL, ANY, "sanitizer: its allocator"),
};

const size_t jail_call_count = ARRAY_COUNT(jail_calls);

bool jail_argument_range(const struct jail_argument *argument, const struct jail_config *config,
                         struct jail_range *ret_range)
{
    switch (argument->kind) {
    case JAIL_ARGUMENT_NO_FILE:
        *ret_range = (struct jail_range){0, config->output_first};
        return true;
    case JAIL_ARGUMENT_OUTPUT:
        *ret_range = (struct jail_range){config->output_first, config->input_first};
        return true;
    case JAIL_ARGUMENT_FILE:
        *ret_range = (struct jail_range){config->output_first, INT32_MAX};
        return true;
    case JAIL_ARGUMENT_VALUES:
    case JAIL_ARGUMENT_OWN_PROCESS:
    case JAIL_ARGUMENT_CHILD:
        break;
    }
    return false;
}

bool jail_call_is_chosen(const struct jail_call *call, const struct jail_call_choice *choice)
{
    return (call->threads & choice->threads) != 0 &&
           (call->parts == JAIL_PARTS_ALL || (call->parts & choice->parts) != 0);
}

/*
 * A vCPU that transfers itself does what else a device's thread does. So does the first thread then, as it hands over
 * writes that the kernel has coalesced, when no exit of a vCPU has done so for a while.
 */
struct jail_call_choice jail_call_choice(uint32_t parts, enum jail_role role)
{
    bool may_stand_in = role == JAIL_ROLE_VCPU || (role == JAIL_ROLE_FIRST && (parts & JAIL_ENGINE_KVM) != 0);
    bool stands_in = may_stand_in && (parts & JAIL_VCPU_FILES) != 0;
    return (struct jail_call_choice){
        .table = jail_calls,
        .count = jail_call_count,
        .parts = parts,
        .threads = 1u << role | (stands_in ? JAIL_DEVICE : 0),
    };
}

bool jail_call_is_kept(const struct jail_call *call, uint32_t parts, enum jail_role role)
{
    struct jail_call_choice choice = jail_call_choice(parts, role);
    return jail_call_is_chosen(call, &choice);
}
