/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/console.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/job/job.h"

/* How long a stopped terminal may hide an interruption. */
#define WAIT_MS 100

void console_init(struct console *console, int fd)
{
    console->fd = fd;
    console->error_number = 0;
    console->len = 0;
}

/* Waits until a write of up to PIPE_BUF bytes does not block. */
static bool wait_writable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    while (poll(&ready, 1, WAIT_MS) <= 0) { /* until somebody reads, or the user has enough */
        if (job_is_interrupted()) {
            return false;
        }
    }
    return true;
}

void console_flush(struct console *console)
{
    size_t written = 0;
    while (console->error_number == 0 && written < console->len && wait_writable(console->fd)) {
        size_t part_len = min_u64(console->len - written, PIPE_BUF);
        ssize_t count = write(console->fd, console->buffer + written, part_len);
        if (count >= 0) {
            written += (size_t)count;
        } else if (errno != EINTR && errno != EAGAIN) {
            console->error_number = errno;
        }
    }
    console->len = 0;
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
