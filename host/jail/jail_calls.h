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

#define JAIL_VALUE_MAX 3u

/* Which values of one argument are allowed: those where `argument & mask` equals one of `values`. */
struct jail_argument {
    const char *text; /* for the documentation */
    unsigned int index;
    uint64_t mask;
    unsigned int value_count;
    uint64_t values[JAIL_VALUE_MAX];
    bool is_own_process; /* instead of values: the number of the process itself */
};

struct jail_call {
    const char *name;
    int number;
    uint32_t parts;                       /* enum jail_part: any of them; JAIL_PARTS_ALL: every process */
    const struct jail_argument *argument; /* NULL: any arguments */
    const char *reason;
};

#define JAIL_PARTS_ALL 0u

extern const struct jail_call jail_calls[];
extern const size_t jail_call_count;

/* Whether a process of these parts (enum jail_part) keeps the call. */
bool jail_call_is_kept(const struct jail_call *call, uint32_t parts);

#endif
