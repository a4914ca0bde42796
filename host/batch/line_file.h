/* SPDX-License-Identifier: Apache-2.0 */
/* A file of lines, read from front to back: a manifest, or results. */
#ifndef INSTAR_HOST_BATCH_LINE_FILE_H
#define INSTAR_HOST_BATCH_LINE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Longer ones are passed over, and said to be too long: bounds the memory. A result has output of a command. */
#define LINE_LEN_MAX ((size_t)16 << 20)

struct line_file {
    FILE *stream;
    const char *path;
    char *buffer; /* the line, without its end; text behind it is not its */
    size_t room;
    size_t len;
    uint64_t number;  /* of the line, from 1 */
    bool is_torn;     /* nothing ends it: a write that was cut off, or a last line without its end */
    bool is_too_long; /* the line is cut */
};

/* `path` has to live as long as the file is open. */
bool line_file_open(struct line_file *ret_file, const char *path, struct error *error);
/* The same for a descriptor, which becomes the file's and is read from its beginning. `path` is for messages. */
bool line_file_open_fd(struct line_file *ret_file, int fd, const char *path, struct error *error);
void line_file_close(struct line_file *file);
/* The next line. False at the end, and with *error set when it cannot be read. */
bool line_file_next(struct line_file *file, struct error *error);
/* Whether the line has nothing but spaces. */
bool line_file_is_blank(const struct line_file *file);

#endif
