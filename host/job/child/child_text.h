/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the child writes to its standard streams, which are a pipe of the parent's: reports of a crash. It is untrusted,
 * as all that the child says: a bounded number of bytes, in lines of bounded length, any bytes but zero and line
 * breaks.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_TEXT_H
#define INSTAR_HOST_JOB_CHILD_CHILD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define CHILD_TEXT_LINE_MAX 512u

struct child_text {
    int fd; /* the pipe's reading end, which does not block; -1 once it has ended */
    size_t total_len;
    size_t line_len;
    char line[CHILD_TEXT_LINE_MAX];
};

typedef void (*child_text_handler)(void *context, const char *line);

void child_text_init(struct child_text *text, int fd);
/* Takes what is there. `handler` may be NULL. */
void child_text_take(struct child_text *text, child_text_handler handler, void *context);
/* Takes what is there, for the last time: a line that is not complete, too. Closes the pipe. May be called twice. */
void child_text_end(struct child_text *text, child_text_handler handler, void *context);

#endif
