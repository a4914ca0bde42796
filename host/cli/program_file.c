/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/program_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads up to `len` bytes; fewer when the file ends before. Returns their number or a negative errno. */
static ssize_t read_fully(int fd, uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t count = read(fd, data + done, len - done);
        if (count == 0) {
            break;
        }
        if (count < 0 && errno != EINTR) {
            return -errno;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return (ssize_t)done;
}

static bool open_file_read(int fd, const char *path, struct span *ret_program, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return error_set(error, ERROR_IO, path, "cannot read: %s", strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(error, ERROR_USAGE, path, "is not a regular file");
    }
    if (status.st_size > PROGRAM_FILE_LEN_MAX) {
        return error_set(error, ERROR_USAGE, path, "is longer than %u bytes", PROGRAM_FILE_LEN_MAX);
    }
    /* One byte more, as malloc(0) may return NULL. */
    uint8_t *data = malloc((size_t)status.st_size + 1);
    if (data == NULL) {
        return error_set(error, ERROR_HOST, path, "out of memory");
    }
    ssize_t len = read_fully(fd, data, (size_t)status.st_size);
    if (len < 0) {
        free(data);
        return error_set(error, ERROR_IO, path, "cannot read: %s", strerror((int)-len));
    }
    *ret_program = (struct span){data, (size_t)len};
    return true;
}

bool program_file_read(const char *path, struct span *ret_program, struct error *error)
{
    if (path[0] == '\0') {
        return error_set(error, ERROR_USAGE, NULL, "the name of the guest program is empty");
    }
    /* O_NONBLOCK: a FIFO must not make us wait before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, strerror(errno));
    }
    bool success = open_file_read(fd, path, ret_program, error);
    close(fd);
    return success;
}
