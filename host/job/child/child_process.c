/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/job/child/child_birth.h"
#include "host/job/child/child_network.h"
#include "host/job/child/child_order.h"
#include "host/job/grant.h"

/* [0] is the parent's end, [1] the child's. */
struct lines {
    int events[2];
    int text[2];
    int grants[2];
    int report_fd;
    int order_fd;
};

static void descriptor_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void child_ends_close(struct lines *lines)
{
    descriptor_close(&lines->events[1]);
    descriptor_close(&lines->text[1]);
    descriptor_close(&lines->grants[1]);
    descriptor_close(&lines->report_fd);
    descriptor_close(&lines->order_fd);
}

static void lines_close(struct lines *lines)
{
    child_ends_close(lines);
    descriptor_close(&lines->events[0]);
    descriptor_close(&lines->text[0]);
    descriptor_close(&lines->grants[0]);
}

static bool lines_make(struct lines *lines, const struct job *job, struct error *error)
{
    *lines = (struct lines){{-1, -1}, {-1, -1}, {-1, -1}, -1, -1};
    if (pipe2(lines->events, O_CLOEXEC) != 0 || pipe2(lines->text, O_CLOEXEC) != 0 ||
        fcntl(lines->text[0], F_SETFL, O_NONBLOCK) != 0) {
        error_fill(error, ERROR_HOST, NULL, "cannot create a pipe: %s", strerror(errno));
        lines_close(lines);
        return false;
    }
    if (job->late_device_count > 0 && !grant_sockets_make(lines->grants, error)) {
        lines_close(lines);
        return false;
    }
    return true;
}

/* A guest's process whose child has ended is this process's then, and not left to others to reap. */
static void orphans_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* cannot fail: it is as old as Linux 3.4 */
}

static bool child_give(struct child_process *child, struct lines *lines, const struct job *job,
                       const struct child_start *start, struct error *error)
{
    struct child_ties ties = {
        .engine = start->engine,
        .images = start->images,
        .image_count = start->image_count,
        .event_fd = lines->events[1],
        .grant_fd = lines->grants[1],
        .listener_fd = start->listener_fd,
        .network_fd = child_network_given(),
    };
    child_birth_number(&ties);
    RETURN_IF_FAILED(child_order_make(job, &ties, &lines->order_fd, error));
    struct child_birth birth = {
        .ties = &ties,
        .order_fd = lines->order_fd,
        .report_fd = lines->report_fd,
        .text_fd = lines->text[1],
        .signals = start->signals,
    };
    orphans_adopt();
    return child_birth_give(&birth, &child->remains.pid, &child->remains.pidfd, error);
}

/* Told beforehand: behind its walls this process is not told. */
static uint64_t processor_s_max(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CPU, &limit) == 0 ? limit.rlim_max : RLIM_INFINITY;
}

bool child_process_start(struct child_process *ret_child, const struct job *job, const struct child_start *start,
                         struct error *error)
{
    struct lines lines;
    RETURN_IF_FAILED(lines_make(&lines, job, error));
    struct child_process child = {.remains = {.may_have_untold = true},
                                  .report = jail_report_make(&lines.report_fd, error)};
    if (child.report == NULL || !child_give(&child, &lines, job, start, error)) {
        jail_report_free(child.report);
        lines_close(&lines);
        return false;
    }
    child_ends_close(&lines);
    child.event_fd = lines.events[0];
    child.grant_fd = lines.grants[0];
    child_text_init(&child.text, lines.text[0]);
    child.processor_s_max = processor_s_max();
    *ret_child = child;
    return true;
}

static void ties_cut(struct child_process *child)
{
    descriptor_close(&child->event_fd);
    descriptor_close(&child->grant_fd);
    jail_report_free(child->report);
    child->report = NULL;
}

bool child_process_describe_end(struct child_process *child, struct error *error)
{
    uint64_t used_s;
    int status = child_remains_reap(&child->remains, &used_s);
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
        return error_set(error, ERROR_LIMIT, NULL, "the job exceeded its limit of processor time");
    }
    /* The kernel counts samples there, and takes them for whole ticks: they come to more than what was used. */
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && used_s + 1 > child->processor_s_max / 2) {
        return error_set(error, ERROR_LIMIT, NULL,
                         "the machine's process was killed, as it seems by the system's limit of %" PRIu64
                         " s of processor time",
                         child->processor_s_max);
    }
    if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
        return jail_report_describe(child->report, error);
    }
    if (status >= 0 && WIFSIGNALED(status)) {
        return error_set(error, ERROR_HOST, NULL, "the machine's process was killed by signal %d (%s)",
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    if (status >= 0 && WIFEXITED(status)) {
        return error_set(error, ERROR_HOST, NULL, "the machine's process exited with %d before the job was done",
                         WEXITSTATUS(status));
    }
    return error_set(error, ERROR_HOST, NULL, "the machine's process is gone");
}

void child_process_kill(struct child_process *child)
{
    if (child->remains.pid > 0) {
        kill(child->remains.pid, SIGKILL);
    }
    child_remains_wait(&child->remains);
    ties_cut(child);
}

/* Killed, as it has nothing to do any more but to end: one that was taken over might want to stay. */
struct child_remains child_process_leave(struct child_process *child)
{
    kill(child->remains.pid, SIGKILL);
    child->remains.may_have_untold = false;
    ties_cut(child);
    return child->remains;
}
