/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/opener.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/devices/passed_descriptor.h"
#include "host/job/parent/parent_walls.h"

/* How long it may take to end when it was killed. Long beside the end of a process that waits for nothing. */
#define END_MS 200

/* Sends a structure, with a descriptor unless that is -1. */
static bool send_whole(int socket_fd, const void *data, size_t len, int fd)
{
    struct iovec content = {(void *)(uintptr_t)data, len};
    union passed_descriptor room;
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (fd >= 0) {
        passed_descriptor_attach(&message, &room, fd);
    }
    return sendmsg(socket_fd, &message, MSG_NOSIGNAL) == (ssize_t)len;
}

/* False also when the other end has gone, or sends anything else. */
static bool receive_whole(int socket_fd, void *data, size_t len, int *ret_fd)
{
    struct iovec content = {data, len};
    union passed_descriptor control = {0};
    struct msghdr message = {
        .msg_iov = &content, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
    errno = 0;
    ssize_t received_len = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    int fd = received_len >= 0 ? passed_descriptor_take(&message) : -1;
    if (received_len == (ssize_t)len && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) {
        *ret_fd = fd;
        return true;
    }
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

/* Descriptors that the process keeps: its socket, and what the policy has open. */
struct kept {
    int *fds;
    unsigned int count;
};

static void kept_add(struct kept *kept, int fd)
{
    if (fd > STDERR_FILENO) {
        kept->fds[kept->count++] = fd;
    }
}

static void kept_add_named(struct kept *kept, const struct policy_named *named)
{
    kept_add(kept, named->handle);
    kept_add(kept, named->directory.fd);
}

static int fds_compare(const void *a, const void *b)
{
    int left = *(const int *)a;
    int right = *(const int *)b;
    return (left > right) - (left < right);
}

static bool kept_list(struct kept *kept, const struct openings *openings, int socket_fd)
{
    const struct policy *policy = openings->job->policy;
    unsigned int output_count = openings->outputs != NULL ? openings->job->further_outputs.count : 0;
    kept->count = 0;
    kept->fds =
        calloc(openings_origin_end(openings) + POLICY_DIRECTORY_MAX + 2 * POLICY_FILE_MAX + 1 + 2 * output_count,
               sizeof(*kept->fds));
    if (kept->fds == NULL) {
        return false;
    }
    kept_add(kept, socket_fd);
    for (unsigned int i = 0; i < openings_origin_end(openings); i++) {
        kept_add(kept, openings->origins[i].directory.fd);
    }
    for (unsigned int i = 0; i < policy->directory_count; i++) {
        kept_add(kept, policy->directories[i].fd);
    }
    for (unsigned int i = 0; i < policy->file_count; i++) {
        kept_add_named(kept, &policy->files[i]);
    }
    for (unsigned int i = 0; i < output_count; i++) {
        kept_add_named(kept, &openings->outputs[i]);
    }
    qsort(kept->fds, kept->count, sizeof(*kept->fds), fds_compare);
    return true;
}

/*
 * Closes all else: a process that cannot be ended must not hold locks, an output, or the pipe at whose other end
 * somebody waits for the end of what this program prints. The standard streams become the socket.
 */
static bool others_close(const struct openings *openings, int socket_fd)
{
    struct kept kept;
    if (!kept_list(&kept, openings, socket_fd)) {
        return false;
    }
    bool is_done = true;
    int next = STDERR_FILENO + 1;
    for (unsigned int i = 0; i < kept.count && is_done; i++) {
        is_done = kept.fds[i] <= next || close_range((unsigned int)next, (unsigned int)kept.fds[i] - 1, 0) == 0;
        next = kept.fds[i] + 1 > next ? kept.fds[i] + 1 : next;
    }
    is_done = is_done && close_range((unsigned int)next, ~0u, 0) == 0;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && is_done; fd++) {
        is_done = dup2(socket_fd, fd) == fd;
    }
    free(kept.fds);
    return is_done;
}

static void NO_RETURN answer_all(struct openings *openings, int socket_fd)
{
    struct opening_question question;
    int fd;
    while (receive_whole(socket_fd, &question, sizeof(question), &fd)) { /* ends with the parent */
        struct opening_answer answer;
        openings_find(openings, &question, &answer, &fd);
        bool is_sent = send_whole(socket_fd, &answer, sizeof(answer), fd);
        if (fd >= 0) {
            close(fd);
        }
        if (!is_sent) {
            break;
        }
    }
    _exit(EXIT_SUCCESS);
}

/* All signals that the job holds stay blocked: the parent decides what they mean. */
static void NO_RETURN opener_run(struct openings *openings, int socket_fd, pid_t parent)
{
    struct opening_answer ready = {.outcome = OPENING_FOUND};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    if (!others_close(openings, socket_fd)) {
        error_fill(&ready.refusal, ERROR_HOST, NULL, "cannot close descriptors: %s", strerror(errno));
    } else {
        parent_walls_raise_opener(openings, &ready.refusal);
    }
    if (!send_whole(socket_fd, &ready, sizeof(ready), -1) || error_is_set(&ready.refusal)) {
        _exit(EXIT_FAILURE);
    }
    answer_all(openings, socket_fd);
}

static bool ready_wait(struct opener *opener, struct error *error)
{
    struct opening_answer ready = {0};
    int fd = -1;
    if (!receive_whole(opener->socket_fd, &ready, sizeof(ready), &fd)) {
        return error_set(error, ERROR_HOST, NULL, "the process that opens files did not start");
    }
    if (error_is_set(&ready.refusal)) {
        *error = ready.refusal;
        return false;
    }
    return true;
}

bool opener_start(struct opener *ret_opener, struct openings *openings, struct error *error)
{
    *ret_opener = (struct opener){0};
    if (openings->job->policy == NULL || openings->job->late_device_count == 0) {
        return true;
    }
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a socket: %s", strerror(errno));
    }
    pid_t parent = getpid();
    struct opener opener = {.pid = fork(), .socket_fd = sockets[0]};
    if (opener.pid == 0) {
        opener_run(openings, sockets[1], parent);
    }
    int saved_errno = errno;
    close(sockets[1]);
    opener.pidfd = opener.pid > 0 ? pidfd_open(opener.pid, 0) : -1;
    if (opener.pidfd < 0) {
        error_fill(error, ERROR_HOST, NULL, "cannot start a process: %s",
                   strerror(opener.pid > 0 ? errno : saved_errno));
    }
    if (opener.pidfd < 0 || !ready_wait(&opener, error)) {
        if (opener.pid > 0) {
            opener_end(&opener);
        } else {
            close(sockets[0]);
        }
        return false;
    }
    *ret_opener = opener;
    return true;
}

bool opener_ask(struct opener *opener, const struct opening_question *question, struct error *error)
{
    if (opener->pid == 0 || !send_whole(opener->socket_fd, question, sizeof(*question), -1)) {
        return error_set(error, ERROR_HOST, NULL, "cannot reach the process that opens files");
    }
    opener->is_asked = true;
    return true;
}

bool opener_hear(struct opener *opener, struct opening_answer *ret_answer, int *ret_fd, struct error *error)
{
    struct opening_answer answer;
    int fd;
    opener->is_asked = false;
    if (!receive_whole(opener->socket_fd, &answer, sizeof(answer), &fd)) {
        return error_set(error, ERROR_HOST, NULL, "the process that opens files has ended");
    }
    if ((answer.outcome == OPENING_FOUND) != (fd >= 0)) {
        if (fd >= 0) {
            close(fd);
        }
        return error_set(error, ERROR_HOST, NULL, "the process that opens files makes no sense");
    }
    *ret_answer = answer;
    *ret_fd = fd;
    return true;
}

void opener_end(struct opener *opener)
{
    if (opener->pid <= 0) {
        return;
    }
    kill(opener->pid, SIGKILL);
    close(opener->socket_fd);
    struct pollfd end = {.fd = opener->pidfd, .events = POLLIN};
    if (opener->pidfd < 0 || poll(&end, 1, END_MS) > 0) {
        waitpid(opener->pid, NULL, 0);
    }
    if (opener->pidfd >= 0) {
        close(opener->pidfd);
    }
    *opener = (struct opener){0};
}
