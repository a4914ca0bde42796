/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/vmm/engines/process_private.h"

/* The exception number of a page fault (Intel SDM volume 3, table 6-1). */
#define TRAP_PAGE_FAULT 14u

static bool call_describe(const struct stub_report *report, struct error *error)
{
    bool is_64_bit = report->call_architecture == AUDIT_ARCH_X86_64;
    char *name = NULL;
    if (report->call_number >= 0) {
        name = seccomp_syscall_resolve_num_arch(is_64_bit ? SCMP_ARCH_X86_64 : SCMP_ARCH_X86, report->call_number);
    }
    error_fill(error, ERROR_GUEST, NULL, "the guest attempted %ssystem call %d (%s)", is_64_bit ? "" : "32-bit ",
               report->call_number, name != NULL ? name : "unknown");
    free(name);
    return false;
}

/* The guest can write to the report: numbers, which are printed as numbers. */
static bool report_describe(const struct stub_report *report, struct vcpu_exit *ret_exit, struct error *error)
{
    if (report->signal == SIGSYS) {
        return call_describe(report, error);
    }
    *ret_exit = (struct vcpu_exit){
        .kind = VCPU_EXIT_FAULT,
        .faulted_vcpu = report->vcpu,
        .instruction_gpa = report->instruction_address,
        .has_fault_address = report->trap == TRAP_PAGE_FAULT,
        .fault_gpa = report->fault_address,
    };
    return true;
}

/* The process ended without a report: the guest ended it, or somebody else did. */
static bool status_describe(const struct process *process, struct error *error)
{
    siginfo_t info = {0};
    struct rusage usage = {0};
    /* Left for release, which reaps it. The library's waitid does not tell what it has used. */
    if (syscall(SYS_waitid, P_PIDFD, process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT, &usage) != 0) {
        return error_set(error, ERROR_HOST, NULL, "the guest's process is gone: %s", strerror(errno));
    }
    if (info.si_code == CLD_EXITED) {
        return error_set(error, ERROR_GUEST, NULL, "the guest ended its process");
    }
    if (info.si_status == SIGXCPU) {
        return error_set(error, ERROR_LIMIT, NULL, "the job exceeded its limit of processor time");
    }
    uint64_t used_s = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
    /* The kernel counts samples there, and takes them for whole ticks: they come to more than what was used. */
    if (info.si_status == SIGKILL && used_s + 1 > process->processor_s_max / 2) {
        return error_set(
            error, ERROR_LIMIT, NULL,
            "the guest's process was killed, as it seems by the system's limit of %llu s of processor time",
            (unsigned long long)process->processor_s_max);
    }
    const char *name = sigdescr_np(info.si_status);
    /* The first by somebody who may, or for want of memory; others by the guest's own instructions. */
    return error_set(error, info.si_status == SIGKILL ? ERROR_HOST : ERROR_GUEST, NULL,
                     "the guest's process was killed by signal %d (%s)", info.si_status,
                     name != NULL ? name : "unknown");
}

bool process_end_describe(const struct process *process, struct vcpu_exit *ret_exit, struct error *error)
{
    if (__atomic_load_n(&process->report->state, __ATOMIC_ACQUIRE) == STUB_REPORT_COMPLETE) {
        /* All of the process's threads are gone: nobody writes to it any more. */
        struct stub_report report = *process->report;
        if (report.vcpu < process->vcpu_count) {
            return report_describe(&report, ret_exit, error);
        }
    }
    return status_describe(process, error);
}
