/* SPDX-License-Identifier: Apache-2.0 */
/* The plain way: positioned reads and writes through the page cache, each finished before start returns. */
#include <fcntl.h>
#include <stdlib.h>

#include "host/backends/file_ranges.h"
#include "host/backends/kinds.h"
#include "host/backends/write_out.h"

struct backend *regular_open(const struct backend_config *config, struct error *error)
{
    struct backend *backend = backend_allocate(sizeof(*backend), &regular_operations, config, error);
    if (backend != NULL && !config->writable) {
        /* Most inputs are read once from front to back: a longer read-ahead. A hint, so its failure is none. */
        posix_fadvise(config->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return backend;
}

static bool start(struct backend *backend, struct backend_operation *operation)
{
    operation->result = file_run(backend->fd, operation);
    if (operation->kind == BACKEND_WRITE) {
        write_out(backend, operation->len);
    }
    return true;
}

static int extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    return file_extent(backend->fd, backend->len, off, ret_extent);
}

static void release(struct backend *backend)
{
    free(backend);
}

const struct backend_operations regular_operations = {
    .name = "regular",
    .start = start,
    .extent = extent,
    .release = release,
};
