/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the process engine share.
 *
 *   process.c          the engine's operations before the start, and its end
 *   process_program.c  guest programs as the VMM's own file has them
 *   process_start.c    makes the guest's process
 *   process_run.c      the vCPUs' rounds: an answer out, a request in
 *   process_request.c  a request, fetched from its mailbox and checked
 *   process_end.c      why the guest's process is gone
 *   process_stub/      the program in that process
 */
#ifndef INSTAR_HOST_VMM_ENGINES_PROCESS_PRIVATE_H
#define INSTAR_HOST_VMM_ENGINES_PROCESS_PRIVATE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "abi/mailbox.h"
#include "host/vmm/engine.h"
#include "host/vmm/engines/process_stub/stub_abi.h"

/* A doorbell per queue of each device that is there from the start, of which no job has more, and one for the others.
 */
#define PROCESS_DOORBELL_MAX (48u * LAYOUT_VCPU_MAX)

struct process_doorbell {
    uint64_t gpa;
    uint32_t value;
    int event_fd;
};

/* Of the vCPU's thread only, except `is_interrupted`. */
struct process_vcpu {
    struct mailbox *mailbox; /* shared with the guest */
    int event_fd;            /* signalled by the guest for a request, and by us for an interruption */
    atomic_bool is_interrupted;
    bool has_request;               /* the guest waits for its answer; at first, for the machine's start */
    struct bus_access request;      /* refers to `data` */
    uint8_t data[MAILBOX_DATA_LEN]; /* ours: what the guest writes meanwhile does not reach it */
};

struct process {
    struct engine engine;
    const struct guest_memory *memory;
    struct stub_report *report; /* shared with the guest */
    unsigned int vcpu_count;
    struct process_vcpu vcpus[LAYOUT_VCPU_MAX];
    struct stub_start start;
    int program_fd; /* this process's own program, where pages of it are the guest's; otherwise -1 */
    unsigned int doorbell_count;
    struct process_doorbell doorbells[PROCESS_DOORBELL_MAX];
    int pidfd;                      /* of the guest's process, -1 before the start; readable when it has ended */
    pid_t pid;                      /* the same by number; 0 before the start */
    uint64_t start_ticks, start_ns; /* for tsc_khz */
    uint64_t processor_s_max;       /* the kernel's limit for it, which it kills at without a word (RLIMIT_CPU) */
};

/* A request, as it lies in a mailbox. */
struct process_request {
    bool is_port;
    struct bus_access access;
};

/*
 * Fetches the request in `mailbox` once and checks it; what it writes is copied to `data`, MAILBOX_DATA_LEN bytes,
 * which are zero for a read. Fails for what a guest of ours would not ask.
 */
bool process_request_take(const struct mailbox *mailbox, uint8_t *data, struct process_request *ret_request,
                          struct error *error);

bool process_map_program(struct engine *engine, uint64_t gpa, const uint8_t *pages, uint64_t len, bool is_executable);
void process_program_close(struct process *process);

bool process_start(struct engine *engine, struct error *error);
bool process_vcpu_run(struct engine *engine, unsigned int vcpu, struct vcpu_exit *ret_exit, struct error *error);
void process_vcpu_interrupt(struct engine *engine, unsigned int vcpu);

/* Why the guest's process has ended: a fault in *ret_exit, or false and the error for everything else. */
bool process_end_describe(const struct process *process, struct vcpu_exit *ret_exit, struct error *error);

#endif
