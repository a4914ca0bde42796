/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/reach.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"
#include "host/cli/time_limit.h"
#include "host/job/files/open_task.h"
#include "host/job/signals.h"

static uint32_t limit;
static uint64_t begin_ms; /* 0: nothing has begun */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void begin(void)
{
    begin_ms = begin_ms == 0 ? now_ms() : begin_ms;
}

void reach_limit(uint32_t limit_s)
{
    begin();
    limit = limit_s;
}

/* For poll: -1 is for ever. */
static int wait_ms(void)
{
    if (limit == 0) {
        return -1;
    }
    uint64_t end_ms = begin_ms + limit * 1000ull;
    uint64_t now = now_ms();
    uint64_t left_ms = now < end_ms ? end_ms - now : 0;
    return left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
}

/* The number of a signal that ends the program, 0 at the end of the task, or -1 when time is over. */
static int task_wait(const struct open_task *task, const struct signals *signals)
{
    for (;;) { /* ends with the task, a signal, or the deadline */
        struct pollfd ready[] = {{.fd = task->pidfd, .events = POLLIN}, {.fd = signals->fd, .events = POLLIN}};
        int timeout_ms = wait_ms();
        int count = poll(ready, ARRAY_COUNT(ready), timeout_ms);
        if (count == 0 && wait_ms() == 0) {
            return -1;
        }
        if (count <= 0) {
            continue; /* EINTR: a stop and continuation from the terminal */
        }
        int number = ready[1].revents != 0 ? signals_take(signals) : 0;
        if (number != 0 && number != SIGNALS_PROGRESS) {
            return number;
        }
        if (ready[0].revents != 0) {
            return 0;
        }
    }
}

bool reach_do(bool (*work)(void *context), void *context, struct error *error)
{
    struct open_task task = {.work = work, .context = context};
    struct signals signals;
    begin();
    RETURN_IF_FAILED(signals_hold(&signals, error));
    if (!open_task_start(&task, error)) {
        signals_release(&signals);
        return false;
    }
    int number = task_wait(&task, &signals);
    if (number != 0) {
        open_task_abandon(&task);
    }
    signals_release(&signals);
    if (number > 0) {
        exit(report_interruption(number));
    }
    if (number < 0) {
        return error_set(error, ERROR_LIMIT, NULL, "the job exceeded its time limit of %" PRIu32 " s", limit);
    }
    return open_task_end(&task);
}

/* A question about a path, and what the kernel said. */
struct look {
    const char *path;
    int mode;
    struct stat status;
    int error_number;
};

static bool stat_do(void *context)
{
    struct look *look = context;
    look->error_number = stat(look->path, &look->status) == 0 ? 0 : errno;
    return true;
}

static bool access_do(void *context)
{
    struct look *look = context;
    look->error_number = access(look->path, look->mode) == 0 ? 0 : errno;
    return true;
}

static bool look_do(bool (*work)(void *context), struct look *look)
{
    struct error error = {0};
    if (!reach_do(work, look, &error)) {
        report_error(program_name(), &error);
        exit(time_limit_failure());
    }
    errno = look->error_number;
    return look->error_number == 0;
}

bool reach_stat(const char *path, struct stat *ret_status)
{
    struct look look = {.path = path};
    RETURN_IF_FAILED(look_do(stat_do, &look));
    *ret_status = look.status;
    return true;
}

bool reach_access(const char *path, int mode)
{
    struct look look = {.path = path, .mode = mode};
    return look_do(access_do, &look);
}
