/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/line_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/job/files/file_place.h"
#include "host/job/files/named_file.h"

#define BUFFER_LEN_FIRST ((size_t)16 << 10)

bool line_file_open_fd(struct line_file *ret_file, int fd, const char *path, struct error *error)
{
    struct line_file file = {.path = path, .room = BUFFER_LEN_FIRST};
    lseek(fd, 0, SEEK_SET); /* what cannot be sought in is at its beginning */
    file.stream = fdopen(fd, "r");
    file.buffer = malloc(file.room);
    if (file.stream != NULL && file.buffer != NULL) {
        *ret_file = file;
        return true;
    }
    if (file.stream != NULL) {
        fclose(file.stream);
    } else {
        close(fd);
    }
    free(file.buffer);
    return error_set(error, ERROR_HOST, path, "out of memory");
}

bool line_file_open(struct line_file *ret_file, const char *path, struct error *error)
{
    int fd = -1;
    int result = named_file_open(path, true, &fd);
    if (result != 0) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, file_place_problem(result));
    }
    return line_file_open_fd(ret_file, fd, path, error);
}

void line_file_close(struct line_file *file)
{
    if (file->stream != NULL) {
        fclose(file->stream);
    }
    free(file->buffer);
    *file = (struct line_file){0};
}

static bool byte_add(struct line_file *file, char byte, struct error *error)
{
    if (file->len == LINE_LEN_MAX) {
        file->is_too_long = true;
        return true;
    }
    if (file->len == file->room) {
        char *buffer = realloc(file->buffer, 2 * file->room);
        if (buffer == NULL) {
            return error_set(error, ERROR_HOST, file->path, "out of memory");
        }
        file->buffer = buffer;
        file->room *= 2;
    }
    file->buffer[file->len++] = byte;
    return true;
}

bool line_file_next(struct line_file *file, struct error *error)
{
    file->len = 0;
    file->is_torn = file->is_too_long = false;
    file->number++;
    int byte;
    while ((byte = getc_unlocked(file->stream)) != EOF && byte != '\n') {
        RETURN_IF_FAILED(byte_add(file, (char)byte, error));
    }
    if (ferror(file->stream)) {
        return error_set(error, ERROR_IO, file->path, "cannot read: %s", strerror(errno));
    }
    file->is_torn = byte == EOF;
    return byte != EOF || file->len > 0;
}

bool line_file_is_blank(const struct line_file *file)
{
    for (size_t i = 0; i < file->len; i++) {
        if (strchr(" \t\r", file->buffer[i]) == NULL || file->buffer[i] == '\0') {
            return false;
        }
    }
    return true;
}
