/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attacker who has taken over a thread of the machine's process, played in the program (tests/dynamic) by
 * LD_PRELOAD: when the thread first comes by, it makes the system call whose number is in INSTAR_TEST_ESCAPE. Or it
 * writes INSTAR_TEST_TEXT to its standard error. With INSTAR_TEST_SILENT it closes the pipe to the parent and waits for
 * ever.
 *
 * INSTAR_TEST_PLACE says where: `parent`, in the job's parent, when it first waits for its child; `vcpu`, before the
 * first KVM_RUN of the machine, or with the process engine when it first waits for its guest; `io`, in the first
 * preadv; `main`, in the first ppoll that has a timeout, as it relays messages.
 *
 * INSTAR_TEST_RUN_PAGE plays who wants ring 0 of the guest, before the first KVM_RUN: `write` has the kernel take the
 * vCPU's special registers from the page that they share, `map` maps that page once more.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* CHILD_FD_EVENTS of host/job/child/child_order.h. */
#define EVENT_FD 4

static void come_by(const char *place)
{
    const char *wanted = getenv("INSTAR_TEST_PLACE");
    const char *number = getenv("INSTAR_TEST_ESCAPE");
    const char *text = getenv("INSTAR_TEST_TEXT");
    if (wanted != NULL && text != NULL && strcmp(wanted, place) == 0) {
        /* As often as the thread comes by. */
        syscall(SYS_write, STDERR_FILENO, text, strlen(text));
    }
    if (wanted != NULL && getenv("INSTAR_TEST_SILENT") != NULL && strcmp(wanted, place) == 0) {
        close(EVENT_FD);
        for (;;) {
            syscall(SYS_ppoll, NULL, 0, NULL, NULL, _NSIG / 8);
        }
    }
    if (wanted != NULL && number != NULL && strcmp(wanted, place) == 0) {
        /* As a name, a directory, a descriptor or an address: whatever it means to the call. */
        syscall(strtol(number, NULL, 10), (long)"/etc/passwd", (long)"/etc/passwd", 0, 0, 0, 0);
    }
}

/* What KVM_RUN shares with the kernel: the last mapping of a vCPU's length. */
static struct kvm_run *run_page;
static size_t run_len;

__attribute__((visibility("default"))) void *mmap64(void *address, size_t len, int protection, int flags, int fd,
                                                    off_t off)
{
    void *mapped = (void *)syscall(SYS_mmap, address, len, protection, flags, fd, off); /* NOLINT */
    if (fd >= 0 && flags == MAP_SHARED && off == 0 && len == 3 * 4096) {
        run_page = mapped;
        run_len = len;
    }
    return mapped;
}

static void ring_0_want(int vcpu_fd)
{
    const char *how = getenv("INSTAR_TEST_RUN_PAGE");
    if (how == NULL || run_page == NULL) {
        return;
    }
    if (strcmp(how, "map") == 0) {
        syscall(SYS_mmap, NULL, run_len, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
    } else {
        ((volatile struct kvm_run *)run_page)->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
    }
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    unsigned long argument = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (request == KVM_RUN) {
        ring_0_want(fd);
        come_by("vcpu");
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

__attribute__((visibility("default"))) ssize_t preadv64(int fd, const struct iovec *iov, int count, off_t off)
{
    come_by("io");
    return syscall(SYS_preadv, fd, iov, count, off, 0);
}

/* The parent's two descriptors, before it is confined: a task that opens files, and signals (host/job/parent/job.c). */
#define OPENING_COUNT 2

/* The child has no call of poll's. */
__attribute__((visibility("default"))) int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (count > OPENING_COUNT) {
        come_by("parent");
    }
    return (int)syscall(SYS_poll, fds, count, timeout_ms);
}

__attribute__((visibility("default"))) int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *interval,
                                                 const sigset_t *mask)
{
    come_by(interval != NULL ? "main" : "vcpu");
    struct timespec left = interval != NULL ? *interval : (struct timespec){0}; /* the kernel counts it down */
    return (int)syscall(SYS_ppoll, fds, count, interval != NULL ? &left : NULL, mask, _NSIG / 8);
}
