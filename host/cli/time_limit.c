/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/time_limit.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/cli/report.h"
#include "host/job/files/open_task.h"

/* How much longer a job may take that ends by itself: it does so at its deadline, and puts away what it has begun. */
#define GRACE_S 5u

static uint32_t limit;
static int exit_code = EXIT_ERROR;
static struct timespec begin;
static char message[128]; /* made beforehand: a handler cannot print */

/* Standard error may be unread as well. */
static void end(int signal_number UNUSED)
{
    struct pollfd errors = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&errors, 1, 0) > 0) {
        ssize_t ignored UNUSED = write(STDERR_FILENO, message, strlen(message));
    }
    report_note_limit();
    open_task_descriptors_close();
    _exit(exit_code);
}

/* The handler ends the process when so much is over, from the beginning; also where the caller has blocked the signal.
 */
static void timer_set(uint32_t after_s)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t used_us = (now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000;
    int64_t left_us = (int64_t)after_s * 1000000 - used_us;
    left_us = left_us > 0 ? left_us : 1;
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGALRM, &action, NULL);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
    struct itimerval timer = {.it_value = {.tv_sec = left_us / 1000000, .tv_usec = left_us % 1000000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

void time_limit_fail_with(int code)
{
    exit_code = code;
}

int time_limit_failure(void)
{
    return exit_code;
}

void time_limit_begin(const char *program, uint32_t limit_s)
{
    limit = limit_s;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    snprintf(message, sizeof(message), "%s: the job exceeded its time limit of %" PRIu32 " s\n", program, limit_s);
    if (limit > 0 && limit <= UINT32_MAX - GRACE_S) {
        timer_set(limit + GRACE_S);
    }
}

void time_limit_enforce(void)
{
    if (limit > 0) {
        timer_set(limit);
    }
}
