/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process engine and its stub, the program that becomes the guest's process, agree on.
 *
 * The stub finds descriptors at fixed numbers and nothing else: no environment, no arguments. It reads struct
 * stub_start from the first one, builds what that says, and counts STUB_READY, or a failure, up on the eventfd of
 * vCPU 0. From then on each vCPU waits, as one that has made a request, for its mailbox to be answered. Its last
 * words, if it has any, are in the report.
 */
#ifndef INSTAR_HOST_VMM_ENGINES_PROCESS_STUB_STUB_ABI_H
#define INSTAR_HOST_VMM_ENGINES_PROCESS_STUB_STUB_ABI_H

#include <stdint.h>

#include "abi/layout.h"

#define STUB_FD_START 0
#define STUB_FD_MEMORY 1
/* The file that the VMM's own program comes from, which has guest programs in it; or the memory's once more. */
#define STUB_FD_PROGRAM 2
/* One eventfd per vCPU, that it signals a request with. */
#define STUB_FD_EVENT(vcpu) (3 + (int)(vcpu))

/* Boot information, program, stacks and thread blocks, registers, data, mailboxes, report; and a few more. */
#define STUB_MAPPING_MAX 64u

struct stub_mapping {
    uint64_t gpa;
    uint64_t len;        /* bytes */
    uint64_t off;        /* bytes, in the file */
    uint32_t protection; /* PROT_* */
    uint32_t is_program; /* of STUB_FD_PROGRAM, never to be written; 0: of STUB_FD_MEMORY, shared */
};

struct stub_vcpu {
    uint64_t entry_gpa;
    uint64_t stack_top_gpa;
    uint64_t thread_block_gpa;
    uint64_t arguments[2]; /* RDI, RSI */
};

struct stub_start {
    uint32_t mapping_count;
    uint32_t vcpu_count;
    int32_t parent_pid;
    uint32_t reserved;
    struct stub_mapping mappings[STUB_MAPPING_MAX];
    struct stub_vcpu vcpus[LAYOUT_VCPU_MAX];
};

/* A pipe takes this much at once, with nobody at its other end yet (pipe(7), PIPE_BUF). */
_Static_assert(sizeof(struct stub_start) <= 4096, "what the stub is told fits a pipe");

/* What the eventfd of vCPU 0 holds when the stub has started: STUB_READY, or a step and an errno. */
#define STUB_READY 1ull
#define STUB_FAILURE(step, errno_value) ((uint64_t)(step) << 32 | (uint32_t)(errno_value))
#define STUB_FAILURE_STEP(value) ((uint32_t)((value) >> 32))
#define STUB_FAILURE_ERRNO(value) ((int)((value)&0xffff))

/* Steps that may fail; the engine has a text for each. */
enum stub_step {
    STUB_STEP_NONE,
    STUB_STEP_EXECUTE,
    STUB_STEP_READ,
    STUB_STEP_MAP,
    STUB_STEP_PRIVILEGES,
    STUB_STEP_LIMITS,
    STUB_STEP_SIGNALS,
    STUB_STEP_THREADS,
    STUB_STEP_FILTER,
    STUB_STEP_COUNT,
};

/* Values of stub_report.state. The first vCPU to fault claims the report, then completes it. */
#define STUB_REPORT_NONE 0u
#define STUB_REPORT_CLAIMED 1u
#define STUB_REPORT_COMPLETE 2u

/* The signal that ended the guest. On a page that the guest can write to: material for a message, no more. */
struct stub_report {
    uint32_t state; /* STUB_REPORT_* */
    uint32_t vcpu;
    int32_t signal;
    int32_t call_number;        /* of the system call, for SIGSYS */
    uint32_t call_architecture; /* AUDIT_ARCH_*, for SIGSYS */
    uint32_t trap;              /* the processor's exception number, otherwise */
    uint64_t instruction_address;
    uint64_t fault_address; /* for page faults */
};

_Static_assert(sizeof(struct stub_report) <= LAYOUT_REPORT_LEN, "the report fits its page");

#endif
