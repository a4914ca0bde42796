/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_text.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "host/jail/jail_sanitizer.h"

/* What the C library says when it ends a process is a line; a sanitizer's report has hundreds. */
#define TOTAL_LEN_MAX (JAIL_HAS_SANITIZER ? 1048576u : 8192u)
/* At once: as much as fits a pipe. */
#define READ_MAX 65536u

void child_text_init(struct child_text *text, int fd)
{
    *text = (struct child_text){.fd = fd};
}

static void line_pass(struct child_text *text, child_text_handler handler, void *context)
{
    text->line[text->line_len] = '\0';
    if (text->line_len > 0 && handler != NULL) {
        handler(context, text->line);
    }
    text->line_len = 0;
}

static void byte_take(struct child_text *text, char byte, child_text_handler handler, void *context)
{
    if (text->total_len == TOTAL_LEN_MAX) {
        return; /* read and dropped, so that the child goes on and tells how it ends */
    }
    text->total_len++;
    if (byte == '\n' || text->line_len == CHILD_TEXT_LINE_MAX - 1) {
        line_pass(text, handler, context);
    }
    if (byte != '\n' && byte != '\0') {
        text->line[text->line_len++] = byte;
    }
    if (text->total_len == TOTAL_LEN_MAX) {
        line_pass(text, handler, context);
        if (handler != NULL) {
            handler(context, "... more was left out");
        }
    }
}

static void pipe_close(struct child_text *text)
{
    close(text->fd);
    text->fd = -1;
}

void child_text_take(struct child_text *text, child_text_handler handler, void *context)
{
    char buffer[4096];
    for (size_t read_len = 0; text->fd >= 0 && read_len < READ_MAX;) {
        ssize_t len = read(text->fd, buffer, sizeof(buffer));
        if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR)) {
            pipe_close(text);
        }
        if (len <= 0) {
            return;
        }
        for (ssize_t i = 0; i < len; i++) {
            byte_take(text, buffer[i], handler, context);
        }
        read_len += (size_t)len;
    }
}

void child_text_end(struct child_text *text, child_text_handler handler, void *context)
{
    child_text_take(text, handler, context);
    line_pass(text, handler, context);
    if (text->fd >= 0) {
        pipe_close(text);
    }
}
