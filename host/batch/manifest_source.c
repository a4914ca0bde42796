/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/manifest_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/job/files/file_place.h"
#include "host/job/files/named_file.h"

static bool read_failed(const struct manifest_source *source, int error_number, struct error *error)
{
    return error_set(error, ERROR_IO, source->name, "cannot read: %s", strerror(error_number));
}

/* All that comes, or what has come when the wait is over. */
static bool memory_fill(const struct manifest_source *source, const struct manifest_wait *wait, struct error *error)
{
    static char buffer[65536]; /* not on the stack: pages of that are copied after each fork */
    struct pollfd ready[] = {{.fd = source->fd, .events = POLLIN}, {.fd = wait->fd, .events = POLLIN}};
    for (;;) { /* ends with the pipe */
        if (poll(ready, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return read_failed(source, errno, error);
        }
        if (ready[1].revents != 0 && wait->is_over(wait->context)) {
            return true;
        }
        if (ready[0].revents == 0) {
            continue;
        }
        ssize_t len = read(source->fd, buffer, sizeof(buffer));
        if (len == 0) {
            return true;
        }
        if ((len < 0 && errno != EINTR) || (len > 0 && write(source->memory_fd, buffer, (size_t)len) != len)) {
            return read_failed(source, errno, error);
        }
    }
}

static bool source_find(struct manifest_source *source, const char *path, struct error *error)
{
    if (strcmp(path, "-") == 0) {
        source->name = "standard input";
        source->fd = STDIN_FILENO;
        return true;
    }
    /* Nobody may have the other end of a FIFO yet: that is waited for with the rest. */
    int result = named_file_open(path, false, &source->fd);
    return result == 0 || error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, path, file_place_problem(result));
}

static bool memory_take(struct manifest_source *source, const struct manifest_wait *wait, struct error *error)
{
    struct stat status;
    if (fstat(source->fd, &status) != 0) {
        return read_failed(source, errno, error);
    }
    if ((S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) && source->fd != STDIN_FILENO) {
        return true;
    }
    source->memory_fd = memfd_create("manifest", MFD_CLOEXEC);
    return source->memory_fd >= 0 ? memory_fill(source, wait, error) : read_failed(source, errno, error);
}

bool manifest_source_open(struct manifest_source *ret_source, const char *path, const struct manifest_wait *wait,
                          struct error *error)
{
    struct manifest_source source = {.name = path, .fd = -1, .memory_fd = -1};
    if (source_find(&source, path, error) && memory_take(&source, wait, error)) {
        *ret_source = source;
        return true;
    }
    manifest_source_close(&source);
    return false;
}

void manifest_source_close(struct manifest_source *source)
{
    if (source->fd > STDERR_FILENO) {
        close(source->fd);
    }
    if (source->memory_fd >= 0) {
        close(source->memory_fd);
    }
    source->fd = source->memory_fd = -1;
}

bool manifest_source_lines(const struct manifest_source *source, struct line_file *ret_file, struct error *error)
{
    int fd = fcntl(source->memory_fd >= 0 ? source->memory_fd : source->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return fd >= 0 ? line_file_open_fd(ret_file, fd, source->name, error) : read_failed(source, errno, error);
}
