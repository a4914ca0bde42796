/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/batch/digest.h"
#include "host/job/child/child_network.h"

uint64_t worker_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool worker_init(struct worker *worker, struct error *error)
{
    worker->pidfd = worker->output.fd = worker->errors.fd = worker->network_fd = -1;
    worker->account = mmap(NULL, sizeof(*worker->account), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (worker->account == MAP_FAILED) {
        worker->account = NULL;
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    return true;
}

static void network_forget(struct worker *worker)
{
    if (worker->network_fd >= 0) {
        close(worker->network_fd);
        worker->network_fd = -1;
    }
    worker->has_tried_network = false;
}

static void network_provide(struct worker *worker)
{
    if (!worker->has_tried_network) {
        worker->has_tried_network = true;
        worker->network_fd = child_network_make();
    }
}

void worker_release(struct worker *worker)
{
    worker_clear(worker);
    capture_release(&worker->output);
    capture_release(&worker->errors);
    network_forget(worker);
    if (worker->account != NULL) {
        munmap(worker->account, sizeof(*worker->account));
    }
}

/* Nothing that the batch has open is the job's business, but the network. */
static void others_close(int network_fd)
{
    int first = STDERR_FILENO + 1;
    if (network_fd >= 0 && dup2(network_fd, first) == first && fcntl(first, F_SETFD, FD_CLOEXEC) == 0) {
        child_network_give(first++);
    }
    if (close_range((unsigned int)first, ~0u, 0) == 0) {
        return;
    }
    struct rlimit limit = {0}; /* before Linux 5.9 */
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = first; (uint64_t)fd < limit.rlim_cur; fd++) {
        close(fd);
    }
}

/* In the new process. `signals` is a copy of the batch's, as all memory is. */
static void process_begin(const struct worker_settings *settings, pid_t parent, int output_fd, int error_fd,
                          int network_fd)
{
    struct signals signals = *settings->signals;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    setpgid(0, 0);
    int input_fd = open("/dev/null", O_RDONLY);
    if ((input_fd >= 0 && dup2(input_fd, STDIN_FILENO) < 0) || dup2(output_fd, STDOUT_FILENO) < 0 ||
        dup2(error_fd, STDERR_FILENO) < 0) {
        _exit(EXIT_FAILURE);
    }
    others_close(network_fd);
    signals.fd = -1;
    signals_release(&signals);
}

static void NO_RETURN command_run(struct worker *worker, const struct worker_settings *settings)
{
    int exit_code = settings->command(worker->account, (int)worker->task.word_count, worker->task.words);
    _exit(exit_code); /* it has written all that it had to, and buffers of the batch's are none of its business */
}

static bool process_start(struct worker *worker, const struct worker_settings *settings, enum worker_stage stage,
                          int output_fd, int error_fd, struct error *error)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        process_begin(settings, parent, output_fd, error_fd, worker->network_fd);
        if (stage == WORKER_RUNS) {
            command_run(worker, settings);
        }
        digest_make(worker->account, worker->task.output);
        _exit(EXIT_SUCCESS);
    }
    if (pid < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot start a process: %s", strerror(errno));
    }
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        error_fill(error, ERROR_HOST, NULL, "cannot watch a process: %s", strerror(errno));
        kill(pid, SIGKILL); /* nobody else reaps our children, so the number is still this process's */
        waitpid(pid, NULL, 0);
        return false;
    }
    worker->pid = pid;
    worker->pidfd = pidfd;
    worker->stage = stage;
    return true;
}

bool worker_start(struct worker *worker, const struct worker_settings *settings, struct error *error)
{
    int output_fd;
    int error_fd;
    capture_close(&worker->output);
    capture_close(&worker->errors);
    memset(worker->account, 0, sizeof(*worker->account));
    network_provide(worker);
    RETURN_IF_FAILED(capture_open(&worker->output, settings->output_len_max, &output_fd, error));
    if (!capture_open(&worker->errors, settings->output_len_max, &error_fd, error)) {
        close(output_fd);
        return false;
    }
    clock_gettime(CLOCK_REALTIME, &worker->begun);
    worker->begun_ns = worker_now_ns();
    bool success = process_start(worker, settings, WORKER_RUNS, output_fd, error_fd, error);
    worker->attempt += success;
    close(output_fd);
    close(error_fd);
    return success;
}

bool worker_digest(struct worker *worker, const struct worker_settings *settings, struct error *error)
{
    return process_start(worker, settings, WORKER_DIGESTS, STDOUT_FILENO, STDERR_FILENO, error);
}

void worker_fail(struct worker *worker, const struct error *problem)
{
    worker->attempt++;
    clock_gettime(CLOCK_REALTIME, &worker->begun);
    worker->ended_ns = worker->begun_ns = worker_now_ns();
    worker->wait_status = W_EXITCODE(EXIT_FAILURE, 0);
    worker->processor_us = worker->peak_memory = 0;
    worker->account->error_kind = problem->kind;
    capture_set(&worker->errors, problem->detail);
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void worker_reap(struct worker *worker)
{
    struct rusage usage = {0};
    int status = 0;
    while (wait4(worker->pid, &status, 0, &usage) < 0 && errno == EINTR) { /* it has ended, so this does not wait */
    }
    close(worker->pidfd);
    worker->pidfd = -1;
    worker->pid = 0;
    if (worker->stage == WORKER_DIGESTS) {
        if (status != 0 && worker->account->digest_errno == 0) {
            worker->account->digest_errno = EINTR;
        }
        return;
    }
    worker->ended_ns = worker_now_ns();
    worker->wait_status = status;
    if (WIFSIGNALED(status)) {
        network_forget(worker); /* its machine may still be on its way out */
    }
    worker->processor_us = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    worker->peak_memory = (uint64_t)usage.ru_maxrss * 1024;
    capture_take(&worker->output); /* what else has the pipe's other end is no process of the job's */
    capture_take(&worker->errors);
    capture_close(&worker->output);
    capture_close(&worker->errors);
}

void worker_signal(const struct worker *worker, int number)
{
    if (worker->pid > 0) {
        kill(worker->pid, number);
    }
}

void worker_clear(struct worker *worker)
{
    capture_close(&worker->output);
    capture_close(&worker->errors);
    batch_task_release(&worker->task);
    worker->attempt = 0;
    worker->is_leaving = false;
    worker->stage = WORKER_FREE;
}
