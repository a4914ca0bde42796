/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/vsock_user.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* "OK 4294967295\n" is 14 bytes. */
#define ANSWER_LEN_MAX 32u

static ssize_t socket_send(int fd, const void *data, size_t len)
{
    return send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* -1 when there is nothing now, or nobody any more; 0 at the end. */
static ssize_t socket_receive(int fd, void *data, size_t len)
{
    struct iovec iov = {data, len};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return recvmsg(fd, &message, MSG_DONTWAIT);
}

/* The device sends its answer whole. No answer, ever, is what a guest gets that does not listen. */
static bool answer_take(struct vsock_user *user, struct error *error)
{
    char answer[ANSWER_LEN_MAX];
    ssize_t len = socket_receive(user->input_fd, answer, sizeof(answer));
    if (len <= 0) {
        return true;
    }
    if (len < 4 || memcmp(answer, "OK ", 3) != 0 || answer[len - 1] != '\n') {
        return error_set(error, ERROR_HOST, "vsock", "the device answers something else than OK");
    }
    user->is_accepted = true;
    return true;
}

/* Sends the input, until the socket takes no more, or there is no more. */
static bool input_send(struct vsock_user *user, struct error *error)
{
    if (!user->is_accepted) {
        RETURN_IF_FAILED(answer_take(user, error));
    }
    while (user->is_accepted && !user->has_ended) {
        if (user->input_off == user->input_len) {
            user->input_off = 0;
            RETURN_IF_FAILED(
                stream_source_next(&user->source, user->input, sizeof(user->input), &user->input_len, error));
        }
        if (user->input_len == 0) {
            shutdown(user->input_fd, SHUT_WR);
            user->has_ended = true;
            return true;
        }
        ssize_t len = socket_send(user->input_fd, user->input + user->input_off, user->input_len - user->input_off);
        if (len < 0) {
            user->has_ended = errno != EAGAIN && errno != EWOULDBLOCK;
            return true;
        }
        user->input_off += (size_t)len;
    }
    return true;
}

/* Sends the reply that is due. False when the socket does not take it now. */
static bool reply_send(struct vsock_user *user)
{
    size_t len;
    const void *reply = stream_sink_reply(&user->sink, &len);
    if (len == 0) {
        return true;
    }
    ssize_t sent_len = socket_send(user->output_fd, reply, len);
    stream_sink_replied(&user->sink, sent_len > 0 ? (size_t)sent_len : 0);
    return sent_len == (ssize_t)len;
}

/* Takes the output, until there is no more now. Ends: the guest's stream is bounded by the file, or breaks its rules.
 */
static bool output_take(struct vsock_user *user, struct error *error)
{
    while (!user->machine->has_ended && reply_send(user)) {
        if (user->output_off == user->output_len) {
            ssize_t len = socket_receive(user->output_fd, user->output, sizeof(user->output));
            if (len <= 0) {
                return true;
            }
            user->output_off = 0;
            user->output_len = (size_t)len;
        }
        size_t taken_len;
        RETURN_IF_FAILED(stream_sink_take(&user->sink, user->output + user->output_off,
                                          user->output_len - user->output_off, &taken_len, error));
        user->output_off += taken_len;
    }
    return true;
}

static void socket_handle(void *context, int fd)
{
    struct vsock_user *user = context;
    struct error error = {0};
    if (!(fd == user->input_fd ? input_send(user, &error) : output_take(user, &error))) {
        machine_end(user->machine, &error);
    }
}

bool vsock_user_init(struct vsock_user *user, const struct vsock_user_setup *setup, struct error *error)
{
    *user = (struct vsock_user){
        .machine = setup->machine,
        .input_fd = setup->input_fd,
        .output_fd = setup->output_fd,
        .source.file = setup->input,
        .sink.file = setup->output,
    };
    char request[ANSWER_LEN_MAX];
    int len = snprintf(request, sizeof(request), "CONNECT %" PRIu32 "\n", setup->input_port);
    if (socket_send(user->input_fd, request, (size_t)len) != len) {
        error_fill(error, ERROR_HOST, "vsock", "cannot ask for the guest: %s", strerror(errno));
    } else if (io_thread_add_socket(setup->thread, user->input_fd, socket_handle, user, error) &&
               io_thread_add_socket(setup->thread, user->output_fd, socket_handle, user, error)) {
        return true;
    }
    vsock_user_release(user);
    return false;
}

void vsock_user_release(struct vsock_user *user)
{
    close(user->input_fd);
    close(user->output_fd);
}
