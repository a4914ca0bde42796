/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

#define ROOM_FIRST 4096u
/* At one time, so that a job that prints for ever does not keep us from the others. */
#define TAKE_LEN_MAX ((size_t)1 << 20)

bool capture_open(struct capture *capture, size_t len_max, int *ret_fd, struct error *error)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a pipe: %s", strerror(errno));
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK); /* a new pipe takes it */
    *capture = (struct capture){.fd = fds[0], .len_max = len_max};
    *ret_fd = fds[1];
    return true;
}

static void text_add(struct capture *capture, const char *text, size_t len)
{
    size_t taken = min_u64(len, capture->len_max - capture->len);
    if (capture->room - capture->len < taken) {
        size_t room = max_u64(max_u64(ROOM_FIRST, 2 * capture->room), capture->len + taken);
        char *grown = realloc(capture->text, room);
        if (grown == NULL) {
            capture->is_cut = true;
            return;
        }
        capture->text = grown;
        capture->room = room;
    }
    if (taken > 0) {
        memcpy(&capture->text[capture->len], text, taken);
    }
    capture->len += taken;
    capture->is_cut = capture->is_cut || taken < len;
}

void capture_take(struct capture *capture)
{
    char buffer[16384];
    for (size_t total_len = 0; capture->fd >= 0 && total_len < TAKE_LEN_MAX;) {
        ssize_t len = read(capture->fd, buffer, sizeof(buffer));
        if (len < 0 && errno == EINTR) {
            continue;
        }
        if (len < 0 && errno == EAGAIN) {
            return;
        }
        if (len <= 0) {
            capture_close(capture);
            return;
        }
        text_add(capture, buffer, (size_t)len);
        total_len += (size_t)len;
    }
}

void capture_close(struct capture *capture)
{
    if (capture->fd >= 0) {
        close(capture->fd);
        capture->fd = -1;
    }
}

void capture_release(struct capture *capture)
{
    capture_close(capture);
    free(capture->text);
    *capture = (struct capture){.fd = -1};
}
