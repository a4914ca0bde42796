/* SPDX-License-Identifier: Apache-2.0 */
/* For the tables of system calls alone (jail_calls.c, jail_parent.c): how a row is written, and arguments of both. */
#ifndef INSTAR_HOST_JAIL_JAIL_CALL_ROWS_H
#define INSTAR_HOST_JAIL_JAIL_CALL_ROWS_H

#include <sys/syscall.h>

#include "host/jail/jail_calls.h"

#define WHOLE UINT64_MAX

#define ARGUMENTS(...) \
    {                  \
        __VA_ARGS__    \
    }
#define ANY ARGUMENTS(NULL)
#define CALL(name, parts, threads, arguments, reason)              \
    {                                                              \
#name, SYS_##name, (parts), (threads), arguments, (reason) \
    }

/* The second argument is SIGKILL. */
extern const struct jail_argument jail_kill_signal;
/* The first one is the process itself. */
extern const struct jail_argument jail_own_process;
/* Of mmap and mprotect: not executable. */
extern const struct jail_argument jail_not_executable;
/* Of mmap: no file. */
extern const struct jail_argument jail_no_descriptor;

#endif
