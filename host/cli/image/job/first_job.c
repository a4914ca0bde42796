/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/first_job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/report.h"

/* In the process of the job: its exit code. */
static int job_do(first_job job, void *context, int fd, pid_t parent)
{
    bool is_ready =
        prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO;
    close(fd);
    return is_ready ? job(context) : EXIT_ERROR;
}

bool first_job_tell(const void *result, size_t result_len, struct error *error)
{
    return write(STDOUT_FILENO, result, result_len) == (ssize_t)result_len ||
           error_set(error, ERROR_HOST, NULL, "cannot tell what the image says");
}

bool first_job_run(first_job job, void *context, struct command_job *command, void *result, size_t result_len)
{
    int fds[2];
    struct error *error = &command->error;
    RETURN_IF_FAILED(command_job_take_objects(command)); /* once: what a pipe has, one process can read */
    if (result_len > FIRST_JOB_RESULT_LEN_MAX || pipe2(fds, O_CLOEXEC) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        _exit(job_do(job, context, fds[1], parent));
    }
    int fork_errno = errno;
    close(fds[1]);
    ssize_t len = pid > 0 ? read(fds[0], result, result_len) : 0; /* a pipe takes it in one piece */
    int status = 0;
    bool has_ended = pid > 0 && waitpid(pid, &status, 0) == pid;
    close(fds[0]);
    if (pid < 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot start a process: %s", strerror(fork_errno));
    }
    return has_ended && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK && len == (ssize_t)result_len;
}

int first_job_look(struct command_job *job, command_job_handler handler, void *context, const void *result,
                   size_t result_len)
{
    job->writes_source = false;
    job->base_data_file = NULL;
    job->options.want_progress = false;
    job->options.machine.job.want_statistics = false;
    job->options.machine.job.sync = false;
    job->message.which_operation = instar_ImageJob_info_tag;
    job->message.operation.info = (instar_InfoRequest){0};
    bool success =
        command_job_run(job, JOB_INSPECT, handler, context) && first_job_tell(result, result_len, &job->error);
    return command_job_end(job, success ? EXIT_OK : EXIT_ERROR, EXIT_ERROR);
}
