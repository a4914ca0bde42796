/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine executes the guest's instructions. This is all that the machine needs of one; host/vmm/engines/
 * has one file group per engine, and nothing else in the tree knows the difference.
 */
#ifndef INSTAR_HOST_VMM_ENGINE_H
#define INSTAR_HOST_VMM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/vmm/bus.h"
#include "host/vmm/guest_memory.h"

/* How a vCPU begins. */
struct vcpu_start {
    uint64_t entry_gpa;
    uint64_t stack_top_gpa;
    uint64_t thread_block_gpa;
    uint64_t page_tables_gpa;
    uint64_t arguments[2]; /* RDI, RSI */
};

enum vcpu_exit_kind {
    VCPU_EXIT_PORT,         /* access is valid */
    VCPU_EXIT_REGISTER,     /* a memory-mapped access; access is valid */
    VCPU_EXIT_INTERRUPTED,  /* engine_interrupt, or a signal */
    VCPU_EXIT_HALT,         /* the guest executed hlt */
    VCPU_EXIT_FAULT,        /* a fault without a handler; instruction_gpa and, when known, fault_gpa are valid */
    VCPU_EXIT_FAILED_ENTRY, /* the processor refused the state; code is its reason */
    VCPU_EXIT_INTERNAL,     /* the engine could not go on; code is its reason */
    VCPU_EXIT_UNKNOWN,      /* code is the engine's number for it */
};

struct vcpu_exit {
    enum vcpu_exit_kind kind;
    struct bus_access access; /* valid until the next run of this vCPU; a read is answered in access.data */
    uint64_t code;
    uint64_t instruction_gpa;
    bool has_fault_address;
    uint64_t fault_gpa;
};

struct engine;

/* A write that the kernel kept for later; `access` is valid during the call. */
typedef bool (*engine_write_handler)(void *context, bool is_port, const struct bus_access *access, struct error *error);

/* One of the kernel's own counters; vcpu is -1 for the whole machine. */
typedef void (*engine_statistic_handler)(void *context, int vcpu, const char *name, uint64_t value);

struct engine_operations {
    const char *name;
    /* Makes a machine of `memory` (kept by the caller, as long as the engine lives) with `vcpu_count` vCPUs. */
    bool (*create)(const struct guest_memory *memory, unsigned int vcpu_count, struct engine **ret_engine,
                   struct error *error);
    bool (*vcpu_reset)(struct engine *engine, unsigned int vcpu, const struct vcpu_start *start, struct error *error);
    /* Runs until something needs the VMM. Returns false only when the host fails. */
    bool (*vcpu_run)(struct engine *engine, unsigned int vcpu, struct vcpu_exit *ret_exit, struct error *error);
    /* Makes vcpu_run return VCPU_EXIT_INTERRUPTED once its thread has also received a signal. Any thread. */
    void (*vcpu_interrupt)(struct engine *engine, unsigned int vcpu);
    /* A 4-byte store of `value` to register `gpa` signals event_fd and does not exit. */
    bool (*add_doorbell)(struct engine *engine, uint64_t gpa, uint32_t value, int event_fd, struct error *error);
    /* Writes to [start, start + len) do not exit, but wait for drain_writes, in order. */
    bool (*coalesce_writes)(struct engine *engine, bool is_port, uint64_t start, uint32_t len, struct error *error);
    /* Ticks of the guest's time stamp counter per millisecond, 0 when unknown. */
    uint32_t (*tsc_khz)(struct engine *engine);
    /* Hands over the writes that wait. One caller at a time. */
    bool (*drain_writes)(struct engine *engine, engine_write_handler handler, void *context, struct error *error);
    /* Returns false when the kernel keeps none. */
    bool (*statistics)(struct engine *engine, engine_statistic_handler handler, void *context);
    void (*release)(struct engine *engine);
};

/* The part that all engines share; each one's own struct begins with it. */
struct engine {
    const struct engine_operations *operations;
};

extern const struct engine_operations kvm_engine;

#endif
