/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

#define ROOM_FIRST 4096u
/* Of the text's memory, so much is kept for the next one: memory that changes owners is copied after each fork. */
#define ROOM_KEPT_MAX ((size_t)64 << 10)
/* At one time, so that a job that prints for ever does not keep us from the others. */
#define TAKE_LEN_MAX ((size_t)1 << 20)

bool capture_open(struct capture *capture, size_t len_max, int *ret_fd, struct error *error)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return error_set(error, ERROR_HOST, NULL, "cannot make a pipe: %s", strerror(errno));
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK); /* a new pipe takes it */
    capture->fd = fds[0];
    capture->len = 0;
    capture->len_max = len_max;
    capture->is_cut = false;
    if (capture->room > min_u64(len_max, ROOM_KEPT_MAX)) {
        free(capture->text);
        capture->text = NULL;
        capture->room = 0;
    }
    *ret_fd = fds[1];
    return true;
}

/* Bytes that can be added to the text; 0: as many as are kept are there, or there is no memory for more. */
static size_t room_make(struct capture *capture)
{
    if (capture->room == capture->len && capture->len < capture->len_max) {
        size_t room = min_u64(max_u64(ROOM_FIRST, 2 * capture->room), capture->len_max);
        char *grown = realloc(capture->text, room);
        if (grown == NULL) {
            return 0;
        }
        capture->text = grown;
        capture->room = room;
    }
    return capture->room - capture->len;
}

/* As read: to the end of the text, or to nowhere. */
static ssize_t text_read(struct capture *capture)
{
    static char rest[16384]; /* not on the stack: pages of that are copied after each fork */
    size_t room = room_make(capture);
    ssize_t len =
        room > 0 ? read(capture->fd, &capture->text[capture->len], room) : read(capture->fd, rest, sizeof(rest));
    if (len > 0 && room > 0) {
        capture->len += (size_t)len;
    }
    capture->is_cut = capture->is_cut || (len > 0 && room == 0);
    return len;
}

void capture_take(struct capture *capture)
{
    for (size_t total_len = 0; capture->fd >= 0 && total_len < TAKE_LEN_MAX;) {
        ssize_t len = text_read(capture);
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
        total_len += (size_t)len;
    }
}

void capture_set(struct capture *capture, const char *text)
{
    size_t len = strlen(text);
    char *copy = strdup(text);
    free(capture->text);
    capture->text = copy;
    capture->len = copy != NULL ? len : 0;
    capture->room = copy != NULL ? len + 1 : 0;
    capture->is_cut = copy == NULL;
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
