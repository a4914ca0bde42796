/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that the jailed process keeps, one table for all of its shapes. docs/security.md shows it, and a
 * test compares the two.
 */
#ifndef INSTAR_HOST_JAIL_JAIL_CALLS_H
#define INSTAR_HOST_JAIL_JAIL_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/jail/jail.h"

#define JAIL_VALUE_MAX 4u
#define JAIL_ARGUMENT_MAX 3u

enum jail_argument_kind {
    JAIL_ARGUMENT_VALUES,      /* those where `argument & mask` equals one of `values` */
    JAIL_ARGUMENT_OWN_PROCESS, /* the number of the process itself */
    JAIL_ARGUMENT_CHILD,       /* the number of one of jail_config.child_pids */
    JAIL_ARGUMENT_NO_FILE,     /* descriptors that are not files: eventfds, pipes */
    JAIL_ARGUMENT_OUTPUT,      /* those of outputs, by jail_config.output_first */
    JAIL_ARGUMENT_FILE,        /* those of outputs and of inputs that are there from the start */
};

/* Which values of one argument are allowed. */
struct jail_argument {
    const char *text; /* for the documentation */
    unsigned int index;
    enum jail_argument_kind kind;
    uint64_t mask;
    unsigned int value_count;
    uint64_t values[JAIL_VALUE_MAX];
};

/* Which threads keep a call: any of these. */
enum jail_threads {
    JAIL_FIRST = 1u << JAIL_ROLE_FIRST,
    JAIL_VCPU = 1u << JAIL_ROLE_VCPU,
    JAIL_DEVICE = 1u << JAIL_ROLE_DEVICE,
    JAIL_THREADS_ALL = JAIL_FIRST | JAIL_VCPU | JAIL_DEVICE,
};

struct jail_call {
    const char *name;
    int number;
    uint32_t parts;   /* enum jail_part: any of them; JAIL_PARTS_ALL: every process */
    uint32_t threads; /* enum jail_threads */
    const struct jail_argument *arguments[JAIL_ARGUMENT_MAX]; /* all of them hold; NULL behind the last */
    const char *reason;
};

#define JAIL_PARTS_ALL 0u

/* [first, end) */
struct jail_range {
    uint32_t first;
    uint32_t end;
};

/* Whether an argument is one of a range of descriptors, and which. */
bool jail_argument_range(const struct jail_argument *argument, const struct jail_config *config,
                         struct jail_range *ret_range);

extern const struct jail_call jail_calls[];
extern const size_t jail_call_count;

/* Those rows of a table that a thread keeps. */
struct jail_call_choice {
    const struct jail_call *table;
    size_t count;
    uint32_t parts;   /* of the process */
    uint32_t threads; /* bits of jail_call.threads: any of them */
};

bool jail_call_is_chosen(const struct jail_call *call, const struct jail_call_choice *choice);

/* Of jail_calls, what a thread of this role keeps in a process of these parts (enum jail_part). */
struct jail_call_choice jail_call_choice(uint32_t parts, enum jail_role role);

/* Whether a thread of this role, in a process of these parts (enum jail_part), keeps the call. */
bool jail_call_is_kept(const struct jail_call *call, uint32_t parts, enum jail_role role);

#endif
