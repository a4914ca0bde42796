/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_JAIL_JAIL_FILTER_H
#define INSTAR_HOST_JAIL_JAIL_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/jail/jail.h"
#include "host/jail/jail_calls.h"

/* Longer than any list of jail_calls.c makes; the kernel takes 4096 instructions. */
#define JAIL_FILTER_MAX 1024u

/* A program for the kernel (Documentation/userspace-api/seccomp_filter.rst). */
struct jail_filter {
    struct sock_filter instructions[JAIL_FILTER_MAX];
    uint16_t len;
};

/* Allows the calls that are chosen, and no other. Of `config` it takes what their arguments refer to. */
bool jail_filter_make(struct jail_filter *filter, const struct jail_call_choice *choice,
                      const struct jail_config *config, struct error *error);

/* One for each role, in a process of config->parts. The caller's, to free; NULL, with *error, when one cannot be made.
 */
struct jail_filter *jail_filters_make(const struct jail_config *config, struct error *error);

/* Puts the filter on the calling thread, and on those that it makes. Needs no new privileges first. */
bool jail_filter_load(const struct jail_filter *filter, struct error *error);

#endif
