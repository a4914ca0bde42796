/* SPDX-License-Identifier: Apache-2.0 */
#include "host/jail/jail_report.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More than any system call's number. What is beyond, the kernel has not written. */
#define NUMBER_MAX 0x10000

/* Why a signal came: the kernel's SYS_SECCOMP, which the C library's header does not have. */
#define SIGNAL_CODE_SECCOMP 1

struct jail_report {
    atomic_int violation; /* 0: none, else the number of the first forbidden system call, plus 1 */
};

/* A signal handler has no argument of its own. Set once, before the handler is installed. */
static struct jail_report *watched;

static void violation_handle(int signal_number UNUSED, siginfo_t *information, void *context UNUSED)
{
    if (information->si_code == SIGNAL_CODE_SECCOMP) {
        int none = 0;
        atomic_compare_exchange_strong(&watched->violation, &none, information->si_syscall + 1);
    }
    /*
     * Another forbidden call, while SIGSYS is blocked as in every handler: the kernel then ends the process. That
     * leaves the end to nobody's good will, and shows the parent the signal.
     */
    for (;;) {
        syscall(SYS_reboot, 0, 0, 0, NULL);
    }
}

static struct jail_report *page_map(int fd)
{
    void *page = mmap(NULL, sizeof(struct jail_report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return page != MAP_FAILED ? page : NULL;
}

/* Its length is sealed: the child could otherwise make our look at it a fault by cutting it. */
struct jail_report *jail_report_make(int *ret_fd, struct error *error)
{
    int fd = memfd_create("instar-report", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct jail_report *report = NULL;
    if (fd >= 0 && ftruncate(fd, sizeof(*report)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        report = page_map(fd);
    }
    if (report == NULL) {
        error_fill(error, ERROR_HOST, NULL, "cannot share memory with a process: %s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    *ret_fd = fd;
    return report;
}

bool jail_violations_watch(jail_violation_handler handler, struct error *error)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    /* Who started us may have blocked it; then the kernel would not call the handler. */
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigaddset(&unblocked, SIGSYS);
    if (sigaction(SIGSYS, &action, NULL) != 0 || sigprocmask(SIG_UNBLOCK, &unblocked, NULL) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot watch system calls: %s", strerror(errno));
    }
    return true;
}

bool jail_report_watch(int fd, struct error *error)
{
    watched = page_map(fd);
    close(fd);
    if (watched == NULL) {
        return error_set(error, ERROR_HOST, NULL, "cannot watch the jail: %s", strerror(errno));
    }
    return jail_violations_watch(violation_handle, error);
}

int jail_report_number(const struct jail_report *report)
{
    int violation = report != NULL ? atomic_load(&report->violation) : 0;
    return violation > 0 && violation <= NUMBER_MAX ? violation - 1 : -1;
}

bool jail_report_describe(const struct jail_report *report, struct error *error)
{
    int number = jail_report_number(report);
    if (number < 0) {
        return error_set(error, ERROR_HOST, NULL,
                         "the machine's process attempted a system call that its jail forbids");
    }
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
    if (name != NULL) {
        error_fill(error, ERROR_HOST, NULL, "the machine's process attempted system call %s, which its jail forbids",
                   name);
    } else {
        error_fill(error, ERROR_HOST, NULL, "the machine's process attempted system call %d, which its jail forbids",
                   number);
    }
    free(name);
    return false;
}

void jail_report_free(struct jail_report *report)
{
    if (report != NULL) {
        munmap(report, sizeof(*report));
    }
}
