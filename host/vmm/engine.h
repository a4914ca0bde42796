/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine executes the guest's instructions. This is all that the machine needs of one; host/vmm/engines/
 * has one file group per engine, and nothing else in the tree knows the difference.
 *
 * Order of calls: create; in any order map, add_doorbell, coalesce_writes, vcpu_reset for every vCPU; start;
 * then vcpu_run, each vCPU on a thread of its own; release.
 */
#ifndef INSTAR_HOST_VMM_ENGINE_H
#define INSTAR_HOST_VMM_ENGINE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/boot_info.h"
#include "host/vmm/bus.h"
#include "host/vmm/guest_memory.h"

/* What the guest may do with a part of its memory. */
enum guest_access {
    GUEST_READ,
    GUEST_READ_WRITE,
    GUEST_READ_EXECUTE,
    GUEST_REGISTERS, /* loads see memory, stores reach the device or fault */
    GUEST_BUS,       /* no memory: what the guest does there reaches the bus or faults */
    GUEST_DOORBELL,  /* likewise, but for stores alone: a load may have any answer */
};

/* How a vCPU begins. */
struct vcpu_start {
    uint64_t entry_gpa;
    uint64_t stack_top_gpa;
    uint64_t thread_block_gpa;
    uint64_t arguments[2]; /* RDI, RSI */
};

/* Those that a call by registers uses (abi/transports/hypercall.h). */
struct vcpu_registers {
    uint64_t rax;
    uint64_t rbx;
    uint64_t rcx;
    uint64_t data[8]; /* R8 to R15 */
};

enum vcpu_exit_kind {
    VCPU_EXIT_PORT,         /* access is valid */
    VCPU_EXIT_REGISTER,     /* a memory-mapped access; access is valid */
    VCPU_EXIT_INTERRUPTED,  /* vcpu_interrupt, or a signal */
    VCPU_EXIT_HALT,         /* the guest executed hlt */
    VCPU_EXIT_FAULT,        /* without a handler; faulted_vcpu, instruction_gpa and, when known, fault_gpa are valid */
    VCPU_EXIT_FAILED_ENTRY, /* the processor refused the state; code is its reason */
    VCPU_EXIT_INTERNAL,     /* the engine could not go on; code is its reason */
    VCPU_EXIT_UNKNOWN,      /* code is the engine's number for it */
};

struct vcpu_exit {
    enum vcpu_exit_kind kind;
    struct bus_access access; /* valid until the next run of this vCPU; a read is answered in access.data */
    uint64_t code;
    unsigned int faulted_vcpu; /* where one fault ends all vCPUs, any of them may be the one to tell */
    uint64_t instruction_gpa;
    bool is_place_lost; /* by the processor: neither of these addresses is known */
    bool has_fault_address;
    uint64_t fault_gpa;
};

struct engine;

/* A write that the kernel kept for later; `access` is valid during the call. */
typedef bool (*engine_write_handler)(void *context, bool is_port, const struct bus_access *access, struct error *error);

/* One of the kernel's own counters; vcpu is -1 for the whole machine. */
typedef void (*engine_statistic_handler)(void *context, int vcpu, const char *name, uint64_t value);

struct engine_setup {
    unsigned int vcpu_count;
    /* An eventfd of the caller's, whose signals are interrupts of vCPU 0 (BOOT_TRANSPORT_INTERRUPTS); -1: none. */
    int interrupt_fd;
    /* The guest's processor has no more than this level of x86-64 (its psABI, table 3.1); 0: all that guests may use.
     */
    unsigned int processor_level;
    bool keeps_statistics; /* the kernel's, for `statistics`; a descriptor for each vCPU */
};

#define PROCESSOR_LEVEL_MAX 3u

struct engine_operations {
    const char *name;
    /* How the guest reaches ports and registers. */
    enum boot_platform platform;
    /* The engine wants its memory shared between processes (guest_memory_init). */
    bool shares_memory;
    /* Whether this host has what the engine needs; otherwise *ret_reason says what is missing. */
    bool (*probe)(struct error *ret_reason);
    /* Makes a machine of `memory` (kept by the caller, as long as the engine lives). Not every engine has interrupts.
     */
    bool (*create)(const struct guest_memory *memory, const struct engine_setup *setup, struct engine **ret_engine,
                   struct error *error);
    /*
     * Lets the guest reach [gpa, gpa + len), page-aligned and, but for the bus, part of guest memory, there. What was
     * never mapped faults.
     */
    bool (*map)(struct engine *engine, uint64_t gpa, uint64_t len, enum guest_access access, struct error *error);
    /*
     * Makes `pages`, which are constant pages of this process's own program, the guest's at `gpa`, to read and perhaps
     * to execute, without a copy. False when that is not possible; nothing has changed then. NULL: the engine does not.
     */
    bool (*map_program)(struct engine *engine, uint64_t gpa, const uint8_t *pages, uint64_t len, bool is_executable);
    /*
     * Adds `len` bytes from `host` on to guest memory, at `gpa`: page-aligned, and where nothing else is. The caller's,
     * as long as the engine lives. NULL: the engine has no more than it was made with.
     */
    bool (*add_memory)(struct engine *engine, uint64_t gpa, uint8_t *host, uint64_t len, bool is_read_only,
                       struct error *error);
    bool (*vcpu_reset)(struct engine *engine, unsigned int vcpu, const struct vcpu_start *start, struct error *error);
    /*
     * The last step that needs more rights than running does; no guest instruction is executed yet. One that makes
     * a process wants Landlock's restrictions to hold already: a process outside of them could not be ended.
     */
    bool (*start)(struct engine *engine, struct error *error);
    /*
     * On the vCPU's own thread, once it is confined and before anything forbids more processes: what the kernel makes
     * when a vCPU first runs. No guest instruction is executed. NULL: nothing.
     */
    bool (*vcpu_begin)(struct engine *engine, unsigned int vcpu, struct error *error);
    /* After vcpu_begin of all, before vcpu_run of any: what is shared with the kernel is protected. NULL: nothing is.
     */
    bool (*seal)(struct engine *engine, struct error *error);
    /* The process that executes the guest instead of this one; 0 when there is none. After start. */
    pid_t (*guest_process)(const struct engine *engine);
    /* Runs until something needs the VMM. Returns false when the machine cannot go on, and *error says all. */
    bool (*vcpu_run)(struct engine *engine, unsigned int vcpu, struct vcpu_exit *ret_exit, struct error *error);
    /*
     * Ends the execution of this vCPU, and perhaps of the others: vcpu_run returns VCPU_EXIT_INTERRUPTED once its
     * thread has also received ENGINE_KICK_SIGNAL. Any thread.
     */
    void (*vcpu_interrupt)(struct engine *engine, unsigned int vcpu);
    /* A 4-byte store of `value` to register `gpa` signals event_fd and does not exit. */
    bool (*add_doorbell)(struct engine *engine, uint64_t gpa, uint32_t value, int event_fd, struct error *error);
    /* Writes to [start, start + len) do not exit, but wait for drain_writes, in order. */
    bool (*coalesce_writes)(struct engine *engine, bool is_port, uint64_t start, uint32_t len, struct error *error);
    /* Ticks of the guest's time stamp counter per millisecond, 0 when unknown. */
    uint32_t (*tsc_khz)(struct engine *engine);
    /* Hands over the writes that wait. One caller at a time. */
    bool (*drain_writes)(struct engine *engine, engine_write_handler handler, void *context, struct error *error);
    /*
     * From the start on, exits bring the vCPU's registers with them, for the two functions behind this one; NULL: not
     * with this engine. They are called on the vCPU's thread, while one of its exits is handled.
     */
    bool (*registers_share)(struct engine *engine, struct error *error);
    void (*registers_get)(struct engine *engine, unsigned int vcpu, struct vcpu_registers *ret_registers);
    void (*registers_set)(struct engine *engine, unsigned int vcpu, const struct vcpu_registers *registers);
    /* Returns false when the kernel keeps none, or the engine was made without. */
    bool (*statistics)(struct engine *engine, engine_statistic_handler handler, void *context);
    void (*release)(struct engine *engine);
};

/* The part that all engines share; each one's own struct begins with it. */
struct engine {
    const struct engine_operations *operations;
    /* Threads of vCPUs block ENGINE_KICK_SIGNAL, which the engine waits for itself. Valid when all is mapped. */
    bool holds_kicks;
};

/* Interrupts an engine that runs a vCPU; a handler, of nothing, is installed. */
#define ENGINE_KICK_SIGNAL SIGUSR1

/* A virtual machine: /dev/kvm. */
extern const struct engine_operations kvm_engine;
/* A process under a seccomp filter, for hosts without /dev/kvm. */
extern const struct engine_operations process_engine;

#endif
