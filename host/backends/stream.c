/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipe or a socket that takes a disk from front to back: what is left out, or zeroed, is written as zeros as soon as
 * something follows, and at the end. A new raw image arrives in that order (guest/image/write/target.h); whoever goes
 * back gets an error. The owner of the process ignores SIGPIPE.
 *
 * It has a descriptor of its own, with a low number: in the jail, write is for what is no file
 * (host/jail/jail_calls.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/backends/kinds.h"

struct stream {
    struct backend backend; /* first */
    int pipe_fd;
    uint64_t written_off; /* up to where everything has been written, bytes */
};

struct backend *stream_open(const struct backend_config *config, struct error *error)
{
    struct stream *stream = backend_allocate(sizeof(*stream), &stream_operations, config, error);
    if (stream == NULL) {
        return NULL;
    }
    stream->pipe_fd = fcntl(config->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (stream->pipe_fd < 0) {
        error_fill(error, ERROR_HOST, config->path, "cannot open again: %s", strerror(errno));
        free(stream);
        return NULL;
    }
    stream->backend.copies_by_start = true; /* in order, by one thread */
    return &stream->backend;
}

/* Returns 0 or an errno. */
static int bytes_write(struct stream *stream, const uint8_t *bytes, uint64_t len)
{
    while (len > 0) {
        ssize_t written = write(stream->pipe_fd, bytes, (size_t)len);
        if (written < 0 && errno != EINTR) {
            return errno;
        }
        uint64_t written_len = written > 0 ? (uint64_t)written : 0;
        stream->written_off += written_len;
        bytes += written_len;
        len -= written_len;
    }
    return 0;
}

/* Zeros up to `off`. Returns 0 or an errno. */
static int zeros_write(struct stream *stream, uint64_t off)
{
    static const uint8_t zeros[65536];
    int result = 0;
    while (result == 0 && stream->written_off < off) {
        result = bytes_write(stream, zeros, min_u64(off - stream->written_off, sizeof(zeros)));
    }
    return result;
}

static int operation_write(struct stream *stream, const struct backend_operation *operation)
{
    int result = zeros_write(stream, operation->off);
    for (unsigned int i = 0; i < operation->iov_count && result == 0; i++) {
        result = bytes_write(stream, operation->iov[i].iov_base, operation->iov[i].iov_len);
    }
    return result;
}

static int operation_run(struct stream *stream, const struct backend_operation *operation)
{
    switch (operation->kind) {
    case BACKEND_FLUSH:
        return 0; /* what is in a pipe is its reader's */
    case BACKEND_READ:
        return ESPIPE;
    case BACKEND_WRITE:
        return operation->off < stream->written_off ? ESPIPE : operation_write(stream, operation);
    case BACKEND_DISCARD:
    case BACKEND_WRITE_ZEROES:
    default:
        return operation->off < stream->written_off ? ESPIPE : 0;
    }
}

static bool start(struct backend *backend, struct backend_operation *operation)
{
    operation->result = operation_run((struct stream *)backend, operation);
    return true;
}

/* Nobody can tell what was written. */
static int extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    *ret_extent = (struct backend_extent){.off = off, .len = backend->len - off, .kind = BACKEND_EXTENT_DATA};
    return 0;
}

static int set_len(struct backend *backend, uint64_t len)
{
    return len < ((struct stream *)backend)->written_off ? ESPIPE : 0;
}

static int finish(struct backend *backend)
{
    return zeros_write((struct stream *)backend, backend->len);
}

static void release(struct backend *backend)
{
    close(((struct stream *)backend)->pipe_fd);
    free(backend);
}

const struct backend_operations stream_operations = {
    .name = "stream",
    .start = start,
    .extent = extent,
    .finish = finish,
    .set_len = set_len,
    .release = release,
};
