/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process engine: an ordinary process stands in for the virtual machine, for hosts without /dev/kvm. The same
 * guest program runs at the same addresses, one thread per vCPU, on memory that this process shares; a seccomp
 * filter leaves it no system call but those to signal us and to wait for us (process_stub/). Ports and registers
 * are requests in mailboxes (abi/mailbox.h).
 *
 * What it lacks against a virtual machine: the guest's instructions meet the host's kernel at two system calls,
 * and at its fault handlers.
 */
#include <assert.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/vmm/engines/process_private.h"

/* Long enough for a rate from two readings, whose own jitter is below 0.1 us: 0.1 %. */
#define RATE_INTERVAL_NS 100000u

static bool process_probe(struct error *ret_reason)
{
    uint32_t action = SECCOMP_RET_TRAP;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0) {
        return error_set(ret_reason, ERROR_HOST, NULL, "the kernel has no seccomp filters: %s", strerror(errno));
    }
    return true;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void process_release(struct engine *engine)
{
    struct process *process = (struct process *)engine;
    if (process->pidfd >= 0) {
        pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
        while (waitid(P_PIDFD, (id_t)process->pidfd, NULL, WEXITED) != 0 && errno == EINTR) {
            /* Ends: a killed process does. */
        }
        close(process->pidfd);
    }
    process_program_close(process);
    for (unsigned int i = 0; i < process->vcpu_count; i++) {
        if (process->vcpus[i].event_fd >= 0) {
            close(process->vcpus[i].event_fd);
        }
    }
    free(process);
}

static bool process_map(struct engine *engine, uint64_t gpa, uint64_t len, enum guest_access access,
                        struct error *error)
{
    static const uint32_t protections[] = {
        [GUEST_READ] = PROT_READ,
        [GUEST_READ_WRITE] = PROT_READ | PROT_WRITE,
        [GUEST_READ_EXECUTE] = PROT_READ | PROT_EXEC,
        [GUEST_REGISTERS] = PROT_READ,
    };
    struct process *process = (struct process *)engine;
    if (len == 0 || access == GUEST_BUS || access == GUEST_DOORBELL) {
        return true; /* bus accesses are requests, nobody stores there */
    }
    if (process->start.mapping_count == STUB_MAPPING_MAX) {
        return error_set(error, ERROR_HOST, NULL, "the guest's memory has more than %u parts", STUB_MAPPING_MAX);
    }
    process->start.mappings[process->start.mapping_count++] = (struct stub_mapping){
        .gpa = gpa,
        .len = len,
        .off = guest_memory_file_off(process->memory, gpa, len),
        .protection = protections[access],
    };
    return true;
}

static bool vcpu_create(struct process *process, unsigned int index, struct error *error)
{
    struct process_vcpu *vcpu = &process->vcpus[index];
    vcpu->mailbox = (struct mailbox *)guest_memory_low(process->memory, LAYOUT_MAILBOX_GPA((uint64_t)index),
                                                       sizeof(*vcpu->mailbox));
    /* The thread begins as one that waits for an answer: the first run starts it. */
    vcpu->mailbox->state = MAILBOX_REQUESTED;
    vcpu->has_request = true;
    /* Nonblocking on our account: a guest may have counted it up to where a write would block. */
    vcpu->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vcpu->event_fd < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
    }
    return true;
}

static bool own_memory_map(struct process *process, struct error *error)
{
    process->report = (struct stub_report *)guest_memory_low(process->memory, LAYOUT_REPORT_GPA, LAYOUT_REPORT_LEN);
    return process_map(&process->engine, LAYOUT_MAILBOXES_GPA, LAYOUT_MAILBOXES_LEN(process->vcpu_count),
                       GUEST_READ_WRITE, error) &&
           process_map(&process->engine, LAYOUT_REPORT_GPA, LAYOUT_REPORT_LEN, GUEST_READ_WRITE, error);
}

/* Told beforehand: in the jail, nothing tells it. */
static uint64_t processor_s_max(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CPU, &limit) == 0 ? limit.rlim_max : RLIM_INFINITY;
}

static bool process_create(const struct guest_memory *memory, const struct engine_setup *setup,
                           struct engine **ret_engine, struct error *error)
{
    unsigned int vcpu_count = setup->vcpu_count;
    if (setup->interrupt_fd >= 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "a process has no interrupts");
    }
    if (setup->processor_level > 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "a process has the host's processor, of whatever level");
    }
    struct process *process = calloc(1, sizeof(*process));
    if (process == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    process->engine.operations = &process_engine;
    process->memory = memory;
    process->pidfd = -1;
    process->program_fd = -1;
    process->processor_s_max = processor_s_max();
    process->start.vcpu_count = vcpu_count;
    process->start_ticks = __builtin_ia32_rdtsc();
    process->start_ns = now_ns();
    bool is_made = true;
    for (unsigned int i = 0; i < vcpu_count && is_made; i++) {
        process->vcpus[i].event_fd = -1;
        process->vcpu_count = i + 1;
        is_made = vcpu_create(process, i, error);
    }
    if (!is_made || !own_memory_map(process, error)) {
        process_release(&process->engine);
        return false;
    }
    *ret_engine = &process->engine;
    return true;
}

static bool process_vcpu_reset(struct engine *engine, unsigned int vcpu, const struct vcpu_start *start,
                               struct error *error UNUSED)
{
    ((struct process *)engine)->start.vcpus[vcpu] = (struct stub_vcpu){
        .entry_gpa = start->entry_gpa,
        .stack_top_gpa = start->stack_top_gpa,
        .thread_block_gpa = start->thread_block_gpa,
        .arguments = {start->arguments[0], start->arguments[1]},
    };
    return true;
}

static pid_t process_guest_process(const struct engine *engine)
{
    return ((const struct process *)engine)->pid;
}

static bool process_add_doorbell(struct engine *engine, uint64_t gpa, uint32_t value, int event_fd,
                                 struct error *error UNUSED)
{
    struct process *process = (struct process *)engine;
    assert(process->doorbell_count < PROCESS_DOORBELL_MAX);
    process->doorbells[process->doorbell_count++] = (struct process_doorbell){gpa, value, event_fd};
    return true;
}

/* Every write is a request, and arrives in order. */
static bool process_coalesce_writes(struct engine *engine UNUSED, bool is_port UNUSED, uint64_t start UNUSED,
                                    uint32_t len UNUSED, struct error *error UNUSED)
{
    return true;
}

static bool process_drain_writes(struct engine *engine UNUSED, engine_write_handler handler UNUSED,
                                 void *context UNUSED, struct error *error UNUSED)
{
    return true;
}

/* Measured since create, as no kernel interface that everybody has tells it. */
static uint32_t process_tsc_khz(struct engine *engine)
{
    const struct process *process = (const struct process *)engine;
    uint64_t ns;
    do { /* ends: the clock goes on */
        ns = now_ns() - process->start_ns;
    } while (ns < RATE_INTERVAL_NS);
    return (uint32_t)((__builtin_ia32_rdtsc() - process->start_ticks) * 1000000 / ns);
}

static bool process_statistics(struct engine *engine UNUSED, engine_statistic_handler handler UNUSED,
                               void *context UNUSED)
{
    return false;
}

const struct engine_operations process_engine = {
    .name = "process",
    .platform = BOOT_PLATFORM_MAILBOX,
    .shares_memory = true,
    .probe = process_probe,
    .create = process_create,
    .map = process_map,
    .map_program = process_map_program,
    .vcpu_reset = process_vcpu_reset,
    .start = process_start,
    .guest_process = process_guest_process,
    .vcpu_run = process_vcpu_run,
    .vcpu_interrupt = process_vcpu_interrupt,
    .add_doorbell = process_add_doorbell,
    .coalesce_writes = process_coalesce_writes,
    .tsc_khz = process_tsc_khz,
    .drain_writes = process_drain_writes,
    .statistics = process_statistics,
    .release = process_release,
};
