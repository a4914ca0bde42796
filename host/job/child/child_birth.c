/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_birth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "host/jail/jail_sanitizer.h"
#include "host/job/child/child_order.h"
#include "host/job/files/descriptors.h"

/*
 * Where images begin, unless the limit of descriptors is lower than twice that; and how many descriptors there are for
 * what is written, where few outputs are.
 */
#define OUTPUT_FD_FIRST 512u
#define OUTPUT_FD_COUNT 64u

void child_birth_number(struct child_ties *ties)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit); /* if it fails, placing descriptors will */
    ties->output_fd_first = (int)min_u64(OUTPUT_FD_FIRST, limit.rlim_cur / 2);
    uint64_t output_count = 0;
    for (unsigned int i = 0; i < ties->image_count; i++) {
        output_count += ties->images[i].is_output;
    }
    /* Two for each, as one in memory has a file of its own besides. */
    uint64_t room = max_u64(min_u64(OUTPUT_FD_COUNT, limit.rlim_cur / 8), 2 * output_count);
    ties->input_fd_first = ties->output_fd_first + (int)room;
}

struct placement {
    int source_fd;
    int target_fd;
};

#define PLACEMENT_MAX (CHILD_IMAGE_MAX + 8u)

/* What the new process works on, in memory that it shares with its parent until it executes its program. */
struct nursery {
    const struct child_birth *birth;
    pid_t parent;
    struct placement *placements; /* of PLACEMENT_MAX */
    unsigned int placement_count;
    int aside_fd; /* above all targets */
    /* How it failed: read by the parent, once the process has executed its program or ended. */
    const char *failed_step;
    int failed_errno;
};

static void placement_add(struct nursery *nursery, int source_fd, int target_fd)
{
    if (source_fd >= 0) {
        nursery->placements[nursery->placement_count++] = (struct placement){source_fd, target_fd};
        nursery->aside_fd = target_fd >= nursery->aside_fd ? target_fd + 1 : nursery->aside_fd;
    }
}

static void placements_list(struct nursery *nursery)
{
    const struct child_birth *birth = nursery->birth;
    const struct child_ties *ties = birth->ties;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        placement_add(nursery, birth->text_fd, fd);
    }
    placement_add(nursery, birth->order_fd, CHILD_FD_ORDER);
    placement_add(nursery, ties->event_fd, CHILD_FD_EVENTS);
    placement_add(nursery, birth->report_fd, CHILD_FD_REPORT);
    placement_add(nursery, ties->grant_fd, CHILD_FD_GRANTS);
    placement_add(nursery, ties->listener_fd, CHILD_FD_LISTENER);
    placement_add(nursery, ties->network_fd, CHILD_FD_NETWORK);
    int next_fds[] = {[false] = ties->input_fd_first, [true] = ties->output_fd_first};
    for (unsigned int i = 0; i < ties->image_count; i++) {
        placement_add(nursery, ties->images[i].fd, next_fds[ties->images[i].is_output]++);
    }
}

static bool step_failed(struct nursery *nursery, const char *step)
{
    nursery->failed_errno = errno;
    nursery->failed_step = step;
    return false;
}

/* Puts each descriptor at its number. Aside first: a source may have the number that another one is to get. */
static bool descriptors_place(struct nursery *nursery)
{
    for (unsigned int i = 0; i < nursery->placement_count; i++) {
        struct placement *placement = &nursery->placements[i];
        placement->source_fd = fcntl(placement->source_fd, F_DUPFD_CLOEXEC, nursery->aside_fd);
        if (placement->source_fd < 0) {
            return step_failed(nursery, "a descriptor");
        }
    }
    for (unsigned int i = 0; i < nursery->placement_count; i++) {
        if (dup2(nursery->placements[i].source_fd, nursery->placements[i].target_fd) < 0) {
            return step_failed(nursery, "a descriptor");
        }
    }
    return true;
}

/* Closes all but the targets: whatever else was open is none of the child's business. */
static bool others_close(struct nursery *nursery)
{
    int next = 0;
    for (;;) { /* each round passes one of the targets, the last one none */
        int kept = INT32_MAX;
        for (unsigned int i = 0; i < nursery->placement_count; i++) {
            int target = nursery->placements[i].target_fd;
            kept = target >= next && target < kept ? target : kept;
        }
        if (!descriptors_close(next, kept - (kept < INT32_MAX))) {
            return step_failed(nursery, "closing descriptors");
        }
        if (kept == INT32_MAX) {
            return true;
        }
        next = kept + 1;
    }
}

/* None. A sanitizer is told there where to write, which is for tests only. */
static char *const *environment_of(void)
{
    static char *none[4];
    unsigned int count = 0;
    for (char **variable = environ; JAIL_HAS_SANITIZER && variable != NULL && *variable != NULL && count < 3;
         variable++) {
        if (strncmp(*variable, "ASAN_", 5) == 0 || strncmp(*variable, "UBSAN_", 6) == 0 ||
            strncmp(*variable, "TSAN_", 5) == 0) {
            none[count++] = *variable;
        }
    }
    return none;
}

/*
 * Returns on failure, with errno. Without /proc, as in a chroot, by the name that this process was executed by, which
 * the caller has trusted a moment ago; should there be another version by now, its order does not fit (child_order.h).
 */
static void program_execute(void)
{
    static char name[] = CHILD_NAME;
    static char *const arguments[] = {name, NULL};
    execve("/proc/self/exe", arguments, environment_of());
    if (errno == ENOENT) {
        execve((const char *)getauxval(AT_EXECFN), arguments, environment_of());
    }
}

/*
 * In the new process, on our memory (vfork(2)) until it executes its program: it may write to nothing that we read, but
 * the nursery and errno. All signals are blocked.
 */
static void NO_RETURN nursery_leave(struct nursery *nursery)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        step_failed(nursery, "its end");
        _exit(EXIT_FAILURE);
    }
    if (getppid() != nursery->parent) {
        _exit(EXIT_FAILURE); /* the parent ended before the line above */
    }
    if (descriptors_place(nursery) && others_close(nursery)) {
        signals_ignore_in_child(nursery->birth->signals);
        program_execute();
        step_failed(nursery, "this program, as /proc/self/exe, and by its name");
    }
    _exit(EXIT_FAILURE);
}

bool child_birth_give(const struct child_birth *birth, pid_t *ret_pid, int *ret_pidfd, struct error *error)
{
    /* For thousands of images: on the stack, each page of it would be touched. */
    static struct placement placements[PLACEMENT_MAX];
    struct nursery nursery = {.birth = birth, .parent = getpid(), .placements = placements};
    placements_list(&nursery);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0) {
        nursery_leave(&nursery);
    }
    int saved_errno = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot start a process: %s", strerror(saved_errno));
    }
    int pidfd = nursery.failed_step == NULL ? pidfd_open(pid, 0) : -1;
    if (pidfd < 0) {
        const char *step = nursery.failed_step != NULL ? nursery.failed_step : "a descriptor for it";
        saved_errno = nursery.failed_step != NULL ? nursery.failed_errno : errno;
        kill(pid, SIGKILL); /* nobody else reaps our children, so the number is still this process's */
        waitpid(pid, NULL, 0);
        return error_set(error, ERROR_HOST, NULL, "cannot start the machine's process: %s: %s", step,
                         strerror(saved_errno));
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return true;
}
