/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of system calls as a seccomp filter. What is not on the list raises SIGSYS in the thread that tried, and is
 * not executed; system calls of another architecture, or of x32, end the process at once.
 */
#include "host/jail/jail_filter.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#include "host/jail/jail_calls.h"

static int value_allow(scmp_filter_ctx filter, const struct jail_call *call, uint64_t value)
{
    struct scmp_arg_cmp comparison = {
        .arg = call->argument->index,
        .op = SCMP_CMP_MASKED_EQ,
        .datum_a = call->argument->mask,
        .datum_b = value,
    };
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call->number, 1, &comparison);
}

/* Returns 0 or a negative errno value. */
static int call_allow(scmp_filter_ctx filter, const struct jail_call *call)
{
    const struct jail_argument *argument = call->argument;
    if (argument == NULL) {
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call->number, 0, NULL);
    }
    if (argument->is_own_process) {
        return value_allow(filter, call, (uint64_t)getpid());
    }
    int result = 0;
    for (unsigned int i = 0; i < argument->value_count && result == 0; i++) {
        result = value_allow(filter, call, argument->values[i]);
    }
    return result;
}

static int rules_add(scmp_filter_ctx filter, uint32_t parts)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (result == 0) {
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    }
    for (size_t i = 0; i < jail_call_count && result == 0; i++) {
        if (jail_call_is_kept(&jail_calls[i], parts)) {
            result = call_allow(filter, &jail_calls[i]);
        }
    }
    return result;
}

bool jail_filter_make(uint32_t parts, void **ret_filter, struct error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    if (filter == NULL) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a system call filter");
    }
    int result = rules_add(filter, parts);
    if (result != 0) {
        seccomp_release(filter);
        return error_set(error, ERROR_HOST, NULL, "cannot make a system call filter: %s", strerror(-result));
    }
    *ret_filter = filter;
    return true;
}

bool jail_filter_load(void *filter, struct error *error)
{
    int result = seccomp_load(filter);
    seccomp_release(filter);
    if (result != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot load a system call filter: %s", strerror(-result));
    }
    return true;
}
