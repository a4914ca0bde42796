/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/output_console.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/job/job.h"

/* How long a stopped terminal may hide an interruption. */
#define WAIT_MS 100

void console_init(struct console *console, int fd)
{
    console->fd = fd;
    console->error_number = 0;
    console->is_hurried = false;
    console->is_unread = false;
    console->len = 0;
}

void console_hurry(struct console *console)
{
    console->is_hurried = true;
}

/* Waits until a write of up to PIPE_BUF bytes does not block, for as long as the user does. */
static bool wait_writable(const struct console *console)
{
    struct pollfd ready = {.fd = console->fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) > 0) {
        return true;
    }
    while (!console->is_hurried && !job_is_interrupted()) {
        if (poll(&ready, 1, WAIT_MS) > 0) {
            return true;
        }
    }
    return false;
}

void console_flush(struct console *console)
{
    size_t written = 0;
    while (console->error_number == 0 && !console->is_unread && written < console->len && wait_writable(console)) {
        size_t part_len = min_u64(console->len - written, PIPE_BUF);
        ssize_t count = write(console->fd, console->buffer + written, part_len);
        if (count >= 0) {
            written += (size_t)count;
        } else if (errno == EPIPE) {
            console->is_unread = true;
        } else if (errno != EINTR && errno != EAGAIN) {
            console->error_number = errno;
        }
    }
    console->len = 0;
}

void console_write(struct console *console, const char *text, size_t len)
{
    if (len > sizeof(console->buffer) - console->len) {
        console_flush(console);
    }
    if (len <= sizeof(console->buffer)) {
        memcpy(console->buffer + console->len, text, len);
        console->len += len;
    }
}

void console_print(struct console *console, const char *format, ...)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t room = sizeof(console->buffer) - console->len;
        va_list arguments;
        va_start(arguments, format);
        int len = vsnprintf(console->buffer + console->len, room, format, arguments);
        va_end(arguments);
        if (len >= 0 && (size_t)len < room) {
            console->len += (size_t)len;
            return;
        }
        console_flush(console);
    }
}
