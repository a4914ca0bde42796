/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: memory, buses, an engine and its vCPUs. It knows no device; whoever assembles it puts devices
 * on its buses before the start.
 *
 * A machine ends once, by the first call of machine_end, which any thread may make. From then on no vCPU
 * executes another instruction for longer than it takes a signal to arrive.
 */
#ifndef INSTAR_HOST_VMM_MACHINE_H
#define INSTAR_HOST_VMM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "base/span.h"
#include "host/vmm/bus.h"
#include "host/vmm/engine.h"
#include "host/vmm/guest_memory.h"
#include "host/vmm/start_gate.h"
#include "host/vmm/vcpu_events.h"

/* Exits of one vCPU, by kind. Written by its thread only; read when it has ended. */
struct vcpu_statistics {
    uint64_t exits;
    uint64_t io_in;
    uint64_t io_out;
    uint64_t mmio_read;
    uint64_t mmio_write;
    uint64_t hlt;
    uint64_t shutdown;
    uint64_t fail_entry;
    uint64_t interrupted;
    uint64_t unknown;
    uint64_t waits; /* writes to PORT_WAIT; counted in io_out as well */
};

void vcpu_statistics_add(struct vcpu_statistics *sum, const struct vcpu_statistics *one);

struct machine;

struct machine_vcpu {
    struct machine *machine;
    unsigned int index;
    pthread_t thread;
    bool is_started;
    struct vcpu_events events;
    struct vcpu_statistics statistics;
};

struct machine {
    struct guest_memory memory;
    struct bus ports;
    struct bus registers;
    struct engine *engine;
    unsigned int device_count;
    unsigned int vcpu_count;
    uint64_t exit_limit;
    _Atomic uint64_t own_exit_count; /* of all vCPUs; counted when there is a limit */
    _Atomic uint64_t *exit_count;    /* this one, or that of the machine it shares the limit with */
    struct machine_vcpu vcpus[LAYOUT_VCPU_MAX];
    struct start_gate gate; /* vCPUs and I/O threads wait at it; a machine that has ended opens it, too */
    /* One drain at a time; held while the drained writes are handled, so that they stay in order. */
    pthread_mutex_t drain_lock;
    uint64_t coalesced_writes; /* under drain_lock */
    int interrupt_fd;          /* eventfd, whose signals are interrupts of vCPU 0; -1: there are none */
    int end_fd;                /* eventfd, readable once the machine has ended */
    pthread_mutex_t end_lock;
    atomic_bool has_ended; /* set under end_lock, after `error` */
    struct error error;    /* why, or not set when it ended well; under end_lock */
};

struct machine_config {
    const struct engine_operations *engine;
    unsigned int vcpu_count; /* 1 to LAYOUT_VCPU_MAX */
    unsigned int device_count;
    bool has_interrupts;          /* what machine_signal makes pending is an interrupt, too */
    uint64_t arena_len;           /* bytes, a multiple of LAYOUT_HUGE_PAGE_LEN */
    bool arena_is_sparse;         /* guest_memory_config.is_sparse */
    unsigned int processor_level; /* of struct engine_setup */
    bool keeps_statistics;        /* likewise */
    bool shares_data;    /* data memory is a file that other processes can be given, until machine_start closes it */
    uint64_t exit_limit; /* exits of all vCPUs together before the machine is ended; 0: none */
    /* A machine that has the same limit and lives longer: the exits of both count together. NULL: none. */
    struct machine *exits_with;
};

bool machine_init(struct machine *machine, const struct machine_config *config, struct error *error);
/* Ends the machine when it still runs. Devices must not call it any more. */
void machine_release(struct machine *machine);

/*
 * Gives the guest memory of the caller's, which outlives the machine: `len` bytes from `host` on, at `gpa`; all are
 * multiples of a page. With GUEST_READ, stores fault. No descriptor may point there. Before machine_load; not with
 * every engine.
 */
bool machine_add_window(struct machine *machine, uint64_t gpa, uint8_t *host, uint64_t len, enum guest_access access,
                        struct error *error);

/* What a guest starts with. */
struct machine_content {
    struct span program;                /* an ELF image */
    bool gives_program;                 /* its pages may become the guest's: nobody else in this process wants it */
    struct span message;                /* the first that it gets; LAYOUT_MESSAGE_LEN bytes at most */
    const enum boot_device_role *roles; /* of the devices, device_count of them */
    struct boot_transport transport;
};

/* Loads the program and writes boot information, the address space and the first state of every vCPU. */
bool machine_load(struct machine *machine, const struct machine_content *content, struct error *error);

/*
 * Starts a thread for each vCPU. It waits at the gate: no guest instruction is executed before machine_open_gate.
 *
 * The last thing that needs more rights than running does, as an engine may make a process. Landlock, when it is to
 * hold, holds before the call: a process outside of it could not be ended.
 */
bool machine_start(struct machine *machine, struct error *error);
/* When its threads stand at the gate: what is left to protect before the guest runs. Needs rights that the jail takes.
 */
bool machine_seal(struct machine *machine, struct error *error);
void machine_open_gate(struct machine *machine);

/* Ends the machine: well when `error` is NULL, or with an error. The first call counts. Any thread. */
void machine_end(struct machine *machine, const struct error *error);

/*
 * Waits until all vCPUs have stopped; the machine has ended before the call. True when it ended well, else copies
 * its error.
 */
bool machine_join(struct machine *machine, struct error *error);

/* Handles the port and register writes that the kernel coalesced; any thread. */
void machine_drain_writes(struct machine *machine);

/* Makes `events` (WAIT_*) pending for all vCPUs. Any thread. */
void machine_signal(struct machine *machine, uint32_t events);

/* The sum over all vCPUs; after machine_join. */
struct vcpu_statistics machine_statistics(const struct machine *machine);

#endif
