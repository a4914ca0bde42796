/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffered output to standard error or standard output while a job runs: a million progress lines must be cheap,
 * and a terminal that is stopped, or a pipe that nobody reads, must not keep Ctrl-C from ending the job.
 */
#ifndef INSTAR_HOST_CLI_OUTPUT_CONSOLE_H
#define INSTAR_HOST_CLI_OUTPUT_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"

#define CONSOLE_BUFFER_LEN 65536

struct console {
    int fd;
    int error_number; /* the first write that failed; nothing is written after it */
    bool is_hurried;  /* what cannot be written at once is dropped */
    bool is_unread;   /* a pipe whose reader has gone, with SIGPIPE ignored: all is dropped, and nothing has failed */
    size_t len;
    char buffer[CONSOLE_BUFFER_LEN];
};

void console_init(struct console *console, int fd);
/* Appends text, at most CONSOLE_BUFFER_LEN - 1 bytes; what is not trusted has been through escape_text. */
void console_print(struct console *console, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same without a format, of text that may have anything but is trusted likewise. */
void console_write(struct console *console, const char *text, size_t len);
/* Writes what is buffered. What cannot be written while the job is being interrupted is dropped. */
void console_flush(struct console *console);
/* After an interruption: from now on, nothing waits for a terminal or a pipe. */
void console_hurry(struct console *console);

#endif
