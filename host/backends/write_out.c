/* SPDX-License-Identifier: Apache-2.0 */
#include "host/backends/write_out.h"

#include <fcntl.h>

void write_out(struct backend *backend, size_t len)
{
    if (!backend->is_flushed) {
        return;
    }
    uint64_t written_len = __atomic_add_fetch(&backend->written_len, len, __ATOMIC_RELAXED);
    if (written_len / WRITE_OUT_LEN != (written_len - len) / WRITE_OUT_LEN) {
        /* From 0 to the end: of what is not dirty there is nothing to do. */
        (void)sync_file_range(backend->data_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}
