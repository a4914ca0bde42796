/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parent learns which forbidden system call ended its child: through a page that both share. A handler of
 * SIGSYS in the child writes the number there, and dies.
 *
 * The kernel has refused the call before the handler runs, so nothing depends on the handler; and the child could
 * write anything to the page, so the parent takes from it a number for a message, and nothing more.
 */
#ifndef INSTAR_HOST_JAIL_JAIL_REPORT_H
#define INSTAR_HOST_JAIL_JAIL_REPORT_H

#include <signal.h>
#include <stdbool.h>

#include "base/error.h"

struct jail_report;

/* Of SIGSYS: information->si_syscall is the call that was refused. */
typedef void (*jail_violation_handler)(int signal_number, siginfo_t *information, void *context);

/* Installs a handler, for a process that has one thread. */
bool jail_violations_watch(jail_violation_handler handler, struct error *error);

/*
 * In the parent: NULL, with *error, when there is no memory. *ret_fd, the caller's, is for the child: a file in memory
 * that holds the page.
 */
struct jail_report *jail_report_make(int *ret_fd, struct error *error);

/* In the child, before it has threads: closes the file after mapping it, and installs the handler, until the child
 * ends. */
bool jail_report_watch(int fd, struct error *error);

/* In the parent, about a child that was killed by SIGSYS: fills *error and returns false. `report` may be NULL. */
bool jail_report_describe(const struct jail_report *report, struct error *error);

/* The number of the forbidden system call, or -1 when none is known. Untrusted. `report` may be NULL. */
int jail_report_number(const struct jail_report *report);

void jail_report_free(struct jail_report *report);

#endif
