/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One system call, from inside the jail: a process of its own enters the jail as the child of a job does, makes the
 * call, and its end shows what became of it.
 */
#ifndef INSTAR_TESTS_JAIL_JAIL_PROBE_H
#define INSTAR_TESTS_JAIL_JAIL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/jail/jail.h"

#define PROBE_ARGUMENT_COUNT 6

struct probe {
    long number;
    long arguments[PROBE_ARGUMENT_COUNT];
    bool is_own_process[PROBE_ARGUMENT_COUNT]; /* the argument is the probing process's number instead */
};

enum probe_outcome {
    PROBE_ALLOWED,     /* the kernel executed it, whether or not it could */
    PROBE_FORBIDDEN,   /* it ended the process, and the report names it */
    PROBE_KILLED,      /* it ended the process at once, without a report */
    PROBE_UNREPORTED,  /* it ended the process, but the report names another call */
    PROBE_NOT_ENTERED, /* the jail itself failed */
};

const char *probe_outcome_name(enum probe_outcome outcome);

/* Numbers of descriptors of outputs, and of inputs, in the probing process's jail. */
#define PROBE_OUTPUT_FIRST 512
#define PROBE_INPUT_FIRST 576

/* Makes the call in a process of these parts (enum jail_part), on a thread of this role. */
enum probe_outcome probe_run(uint32_t parts, enum jail_role role, const struct probe *probe);

/* The same with any code: `attempt` is called in the jail. */
enum probe_outcome probe_run_code(uint32_t parts, void (*attempt)(void));

/* The parts of this name, such as `kvm`; 0 when there is none. */
uint32_t probe_part_parse(const char *name);

#endif
