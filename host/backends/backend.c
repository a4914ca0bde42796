/* SPDX-License-Identifier: Apache-2.0 */
/* The list of backend kinds, and what opening and closing one have in common. */
#include "host/backends/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/backends/file_ranges.h"
#include "host/backends/kinds.h"

static const struct {
    const struct backend_operations *operations;
    struct backend *(*open)(const struct backend_config *config, struct error *error);
} kinds[] = {
    [BACKEND_REGULAR] = {&regular_operations, regular_open}, [BACKEND_DIRECT] = {&direct_operations, direct_open},
    [BACKEND_MMAP] = {&mmap_operations, mmap_open},          [BACKEND_IO_URING] = {&io_uring_operations, io_uring_open},
    [BACKEND_MEMORY] = {&memory_operations, memory_open},
};

void *backend_allocate(size_t struct_len, const struct backend_operations *operations,
                       const struct backend_config *config, struct error *error)
{
    struct backend *backend = calloc(1, struct_len);
    if (backend == NULL) {
        error_fill(error, ERROR_HOST, config->path, "out of memory");
        return NULL;
    }
    *backend = (struct backend){
        .operations = operations,
        .fd = config->fd,
        .len = config->len,
        .writable = config->writable,
        .has_old_content = config->has_old_content,
        .is_flushed = config->is_flushed,
        .event_fd = -1,
        .data_fd = config->fd,
        .direct_fd = -1,
    };
    return backend;
}

bool backend_fd_place(int *fd, int fd_min)
{
    if (*fd >= fd_min) {
        return true;
    }
    int placed_fd = fcntl(*fd, F_DUPFD_CLOEXEC, fd_min);
    if (placed_fd < 0) {
        return false;
    }
    close(*fd);
    *fd = placed_fd;
    return true;
}

/* What is written to a pipe goes there by the one way that there is, whatever kind was asked for. */
static bool is_stream(const struct backend_config *config)
{
    struct stat status;
    return config->writable && fstat(config->fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

struct backend *backend_open(const struct backend_config *config, struct error *error)
{
    struct backend *backend = is_stream(config) ? stream_open(config, error) : kinds[config->kind].open(config, error);
    if (backend == NULL) {
        close(config->fd);
    }
    return backend;
}

int backend_close(struct backend *backend, bool keep)
{
    if (backend == NULL) {
        return 0;
    }
    int result = 0;
    if (keep && backend->writable && backend->operations->finish != NULL) {
        result = backend->operations->finish(backend);
    }
    free(backend->copy_buffer);
    int fd = backend->fd;
    bool writable = backend->writable;
    backend->operations->release(backend);
    /* Network file systems report a failed write as late as here. */
    if (close(fd) != 0 && result == 0 && keep && writable) {
        result = errno;
    }
    return result;
}

/* The first length takes it away. */
static int old_content_drop(struct backend *backend)
{
    int result = backend->has_old_content ? file_set_len(backend->fd, 0) : 0;
    backend->has_old_content = backend->has_old_content && result != 0;
    return result;
}

int backend_set_len(struct backend *backend, uint64_t len)
{
    if (len > INT64_MAX) {
        return EFBIG;
    }
    int result = old_content_drop(backend);
    if (result != 0) {
        return result;
    }
    result = backend->operations->set_len != NULL ? backend->operations->set_len(backend, len)
                                                  : file_set_len(backend->data_fd, len);
    if (result == 0) {
        __atomic_store_n(&backend->len, len, __ATOMIC_RELAXED);
    }
    return result;
}

const char *backend_kind_name(enum backend_kind kind)
{
    return kinds[kind].operations->name;
}

bool backend_kind_parse(const char *name, enum backend_kind *ret_kind)
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].operations->name, name) == 0) {
            *ret_kind = (enum backend_kind)i;
            return true;
        }
    }
    return false;
}
