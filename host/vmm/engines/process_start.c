/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the guest's process: the stub, executed from memory, with the descriptors that stub_abi.h lists and
 * nothing else of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/span.h"
#include "host/vmm/engines/process_private.h"

/* Since Linux 6.3 the file of a program wants saying so (memfd_create(2)). */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

/* Above all numbers that the stub's descriptors, and that of its program, are to have. */
#define FD_ASIDE (STUB_FD_EVENT(LAYOUT_VCPU_MAX) + 1)

extern const uint8_t embedded_stub_start[];
extern const uint8_t embedded_stub_end[];

/* What a process is made of. */
struct birth {
    const struct process *process;
    int program_fd;
    int start_fd; /* what the stub reads struct stub_start from */
};

static bool failed(struct error *error, const char *what)
{
    return error_set(error, ERROR_HOST, NULL, "cannot start the guest's process: %s: %s", what, strerror(errno));
}

static bool write_all(int fd, struct span content)
{
    while (content.len > 0) { /* ends: each round writes at least one byte, or fails */
        ssize_t len = write(fd, content.data, content.len);
        if (len <= 0) {
            return false;
        }
        content.data += len;
        content.len -= (size_t)len;
    }
    return true;
}

static bool program_make(int *ret_fd, struct error *error)
{
    int fd = memfd_create("instar-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create("instar-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (fd < 0) {
        return failed(error, "a file in memory");
    }
    struct span program = {embedded_stub_start, (size_t)(embedded_stub_end - embedded_stub_start)};
    if (!write_all(fd, program) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        failed(error, "its program");
        close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

/* The start information in a pipe, whose other end is closed already. */
static bool start_pipe_make(const struct stub_start *start, int *ret_fd, struct error *error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return failed(error, "a pipe");
    }
    bool is_written = write_all(ends[1], (struct span){(const uint8_t *)start, sizeof(*start)});
    close(ends[1]);
    if (!is_written) {
        failed(error, "a pipe");
        close(ends[0]);
        return false;
    }
    *ret_fd = ends[0];
    return true;
}

/* Puts each descriptor at the number where the stub expects it. Returns false with errno. */
static bool descriptors_place(const struct birth *birth)
{
    const struct process *process = birth->process;
    int sources[STUB_FD_EVENT(LAYOUT_VCPU_MAX)];
    int count = STUB_FD_EVENT(process->vcpu_count);
    sources[STUB_FD_START] = birth->start_fd;
    sources[STUB_FD_MEMORY] = process->memory->shared_fd;
    sources[STUB_FD_PROGRAM] = process->program_fd >= 0 ? process->program_fd : process->memory->shared_fd;
    for (unsigned int i = 0; i < process->vcpu_count; i++) {
        sources[STUB_FD_EVENT(i)] = process->vcpus[i].event_fd;
    }
    /* Aside first: a source may have the number that another one is to get. */
    for (int i = 0; i < count; i++) {
        sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, FD_ASIDE);
        if (sources[i] < 0) {
            return false;
        }
    }
    int program_fd = fcntl(birth->program_fd, F_DUPFD_CLOEXEC, FD_ASIDE);
    if (program_fd < 0) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (dup2(sources[i], i) < 0) {
            return false;
        }
    }
    /* Closed by the exec that it is for. */
    if (dup3(program_fd, count, O_CLOEXEC) < 0) {
        return false;
    }
    return close_range((unsigned int)count + 1, ~0u, 0) == 0;
}

/*
 * In the new process, on our memory (vfork(2)) until it executes the stub: it may write to nothing that we read,
 * but errno. All signals are blocked and stay so; the stub opens those that it handles.
 */
static NO_RETURN void birth_child(const struct birth *birth)
{
    /* The kernel wants a name as the first argument; the stub looks at nothing of it. */
    static char name[] = "instar-guest";
    static char *const arguments[] = {name, NULL};
    static char *const environment[] = {NULL};
    int event_fd = birth->process->vcpus[0].event_fd;
    if (descriptors_place(birth)) {
        event_fd = STUB_FD_EVENT(0);
        execveat(STUB_FD_EVENT(birth->process->vcpu_count), "", arguments, environment, AT_EMPTY_PATH);
    }
    eventfd_write(event_fd, STUB_FAILURE(STUB_STEP_EXECUTE, errno));
    _exit(1);
}

/*
 * vfork: a copy of our address space would be large where an image is kept in memory, and thrown away at once.
 * Sets process->pidfd and process->pid.
 */
static bool give_birth(struct process *process, const struct birth *birth, struct error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0) {
        birth_child(birth);
    }
    int saved_errno = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        errno = saved_errno;
        return failed(error, "fork");
    }
    /* Nobody else reaps our children, so the number is still this process's. */
    process->pidfd = pidfd_open(pid, 0);
    if (process->pidfd < 0) {
        failed(error, "a descriptor for it");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return false;
    }
    process->pid = pid;
    return true;
}

static const char *step_describe(uint32_t step)
{
    static const char *const steps[STUB_STEP_COUNT] = {
        [STUB_STEP_EXECUTE] = "its program", [STUB_STEP_READ] = "its start information",
        [STUB_STEP_MAP] = "its memory",      [STUB_STEP_PRIVILEGES] = "its privileges",
        [STUB_STEP_LIMITS] = "its limits",   [STUB_STEP_SIGNALS] = "its signals",
        [STUB_STEP_THREADS] = "its threads", [STUB_STEP_FILTER] = "its seccomp filter",
    };
    return step < STUB_STEP_COUNT && steps[step] != NULL ? steps[step] : "an unknown step";
}

/* Waits until every guest thread is behind the filter. No guest instruction has been executed by then. */
static bool readiness_wait(const struct process *process, struct error *error)
{
    struct pollfd events[] = {
        {.fd = process->vcpus[0].event_fd, .events = POLLIN},
        {.fd = process->pidfd, .events = POLLIN},
    };
    while (poll(events, 2, -1) < 0) { /* ends: the stub gets ready, or its process ends */
        if (errno != EINTR) {
            return failed(error, "poll");
        }
    }
    eventfd_t value;
    if (eventfd_read(process->vcpus[0].event_fd, &value) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot start the guest's process: it ended at once");
    }
    if (value != STUB_READY) {
        errno = STUB_FAILURE_ERRNO(value);
        return failed(error, step_describe(STUB_FAILURE_STEP(value)));
    }
    return true;
}

bool process_start(struct engine *engine, struct error *error)
{
    struct process *process = (struct process *)engine;
    struct birth birth = {.process = process};
    process->start.parent_pid = getpid();
    RETURN_IF_FAILED(start_pipe_make(&process->start, &birth.start_fd, error));
    bool is_born = false;
    if (program_make(&birth.program_fd, error)) {
        is_born = give_birth(process, &birth, error);
        close(birth.program_fd);
    }
    close(birth.start_fd);
    process_program_close(process);
    return is_born && readiness_wait(process, error);
}
