/* SPDX-License-Identifier: Apache-2.0 */
/* From main to the child's work: a process that host/job/child/child_birth.c has executed. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/jail/jail_report.h"
#include "host/job/child/child_birth.h"
#include "host/job/child/child_order.h"

/* Standard error is a pipe that the parent reads. Not stdio, which the child has no other use for. */
static void NO_RETURN refuse(const struct error *error)
{
    static const char prefix[] = "cannot begin: ";
    if (write(STDERR_FILENO, prefix, strlen(prefix)) > 0 &&
        write(STDERR_FILENO, error->detail, strlen(error->detail)) > 0 && write(STDERR_FILENO, "\n", 1) > 0) {
        _exit(EXIT_FAILURE);
    }
    _exit(EXIT_FAILURE);
}

void child_enter(int argc, char *const argv[])
{
    if (argc != 1 || strcmp(argv[0], CHILD_NAME) != 0) {
        return;
    }
    static struct child_orders orders; /* large */
    struct error error = {0};
    if (!child_order_take(&orders, &error) || !jail_report_watch(CHILD_FD_REPORT, &error)) {
        refuse(&error);
    }
    child_run(&orders.job, &orders.ties);
}
