/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub: a program that turns its process into a place for a guest. It maps the guest's memory where the guest
 * expects it, makes a thread per vCPU, gives every right away, and lets the host start the guest's instructions.
 *
 * It has no libc and nothing of the VMM: what the VMM's process knew ended at the exec. What stays of the stub
 * when the guest runs is its code, with the gate, and the stacks for its signal handler.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "host/vmm/engines/process_stub/stub.h"
#include "host/vmm/engines/process_stub/stub_calls.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS)
/* The end of user addresses with four levels of page tables: the kernel puts nothing of its own choice above. */
#define USER_END 0x7ffffffff000ull

/* Set by the linker script. */
extern const uint8_t stub_end[];

static struct stub_start start;
static uint32_t waiting_threads;

static NO_RETURN void fail(enum stub_step step, long result)
{
    uint64_t failure = STUB_FAILURE(step, -result);
    call3(SYS_write, STUB_FD_EVENT(0), pointer(&failure), sizeof(failure));
    process_exit();
}

static long require(enum stub_step step, long result)
{
    if (result < 0) {
        fail(step, result);
    }
    return result;
}

static void start_read(void)
{
    long len = require(STUB_STEP_READ, call3(SYS_read, STUB_FD_START, pointer(&start), sizeof(start)));
    if (len != sizeof(start) || start.mapping_count > STUB_MAPPING_MAX || start.vcpu_count == 0 ||
        start.vcpu_count > LAYOUT_VCPU_MAX) {
        fail(STUB_STEP_READ, -EPROTO);
    }
}

/* What the kernel made for an ordinary program, the first stack and the vDSO, lies above the stub. */
static void kernel_mappings_leave(void)
{
    /* Best effort: some kernels seal the vDSO, and nothing in there is a secret or a right. */
    call3(SYS_munmap, pointer(stub_end), USER_END - pointer(stub_end), 0);
}

static void memory_map(void)
{
    for (uint32_t i = 0; i < start.mapping_count; i++) {
        const struct stub_mapping *mapping = &start.mappings[i];
        uint64_t flags = MAP_FIXED_NOREPLACE | (mapping->is_program != 0 ? MAP_PRIVATE : MAP_SHARED);
        uint64_t fd = mapping->is_program != 0 ? STUB_FD_PROGRAM : STUB_FD_MEMORY;
        long address = require(
            STUB_STEP_MAP, call6(SYS_mmap, mapping->gpa, mapping->len, mapping->protection, flags, fd, mapping->off));
        if ((uint64_t)address != mapping->gpa) {
            fail(STUB_STEP_MAP, -EEXIST);
        }
        require(STUB_STEP_MAP, call3(SYS_madvise, mapping->gpa, mapping->len, MADV_DONTDUMP));
        if (mapping->len >= LAYOUT_HUGE_PAGE_LEN && mapping->is_program == 0) {
            /* Best effort: most kernels do not let shared memory have huge pages. */
            call3(SYS_madvise, mapping->gpa, mapping->len, MADV_HUGEPAGE);
        }
    }
    call3(SYS_close, STUB_FD_START, 0, 0);
    call3(SYS_close, STUB_FD_MEMORY, 0, 0);
    call3(SYS_close, STUB_FD_PROGRAM, 0, 0);
}

/* Whatever ends the VMM's process ends this one. */
static void parent_follow(void)
{
    require(STUB_STEP_PRIVILEGES, call3(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0));
    if (call3(SYS_getppid, 0, 0, 0) != start.parent_pid) {
        process_exit(); /* the parent ended before the line above */
    }
}

static void privileges_drop(void)
{
    static const char name[] = "instar-guest";
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    call3(SYS_prctl, PR_SET_NAME, pointer(name), 0);
    require(STUB_STEP_PRIVILEGES, call6(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0));
    require(STUB_STEP_PRIVILEGES, call6(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0, 0));
    require(STUB_STEP_PRIVILEGES, call3(SYS_capset, pointer(&header), pointer(none), 0));
}

/* A second barrier behind the filter. Not RLIMIT_NPROC yet, which counts threads. */
static void limits_set(void)
{
    static const int resources[] = {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE};
    struct rlimit none = {0, 0};
    for (unsigned int i = 0; i < ARRAY_COUNT(resources); i++) {
        require(STUB_STEP_LIMITS, call4(SYS_prlimit64, 0, (uint64_t)resources[i], pointer(&none), 0));
    }
}

static void threads_create(void)
{
    for (uint32_t i = 1; i < start.vcpu_count; i++) {
        const struct stub_vcpu *vcpu = &start.vcpus[i];
        require(STUB_STEP_THREADS, stub_thread_create(THREAD_FLAGS, vcpu->stack_top_gpa, vcpu->thread_block_gpa, i));
    }
    /* Ends when each has come as far as its gate, where it needs no right that the filter does not leave it. */
    while (__atomic_load_n(&waiting_threads, __ATOMIC_ACQUIRE) < start.vcpu_count - 1) {
        call3(SYS_sched_yield, 0, 0, 0);
    }
}

NO_RETURN void stub_thread_main(uint32_t vcpu)
{
    require(STUB_STEP_SIGNALS, stub_signals_use_own_stack(vcpu));
    /* The filter may close any time after this. */
    __atomic_add_fetch(&waiting_threads, 1, __ATOMIC_ACQ_REL);
    stub_gate_wait(vcpu);
    stub_enter(&start.vcpus[vcpu]);
}

NO_RETURN void stub_main(void)
{
    struct rlimit none = {0, 0};
    start_read();
    parent_follow();
    kernel_mappings_leave();
    memory_map();
    require(STUB_STEP_SIGNALS, stub_signals_catch());
    require(STUB_STEP_SIGNALS, stub_signals_use_own_stack(0));
    require(STUB_STEP_THREADS, call3(SYS_arch_prctl, ARCH_SET_FS, start.vcpus[0].thread_block_gpa, 0));
    privileges_drop();
    limits_set();
    threads_create();
    require(STUB_STEP_LIMITS, call4(SYS_prlimit64, 0, RLIMIT_NPROC, pointer(&none), 0));
    /* A positive result is a thread that could not be included. */
    if (require(STUB_STEP_FILTER, stub_filter_install(start.vcpu_count)) != 0) {
        fail(STUB_STEP_FILTER, -ESRCH);
    }
    uint64_t ready = STUB_READY;
    call3(SYS_write, STUB_FD_EVENT(0), pointer(&ready), sizeof(ready));
    stub_gate_wait(0);
    stub_enter(&start.vcpus[0]);
}
