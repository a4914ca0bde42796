/* SPDX-License-Identifier: Apache-2.0 */
/* Which parts of a backend's bytes are zeros, told without moving much of them. */
#ifndef INSTAR_HOST_BACKENDS_FIND_ZEROS_H
#define INSTAR_HOST_BACKENDS_FIND_ZEROS_H

#include "host/backends/backend.h"

/*
 * Sets bit i of ret_bitmap, lowest first, to whether the i-th unit of `unit_len` bytes from `off` on is all zeros, for
 * `unit_count` units, which lie within the backend. What cannot be read is not. Any thread. Returns false, and any
 * bitmap, when is_cancelled(context), asked for each unit that begins with zeros, has become true.
 */
bool backend_find_zeros(const struct backend *backend, uint64_t off, uint64_t unit_len, unsigned int unit_count,
                        uint8_t *ret_bitmap, bool (*is_cancelled)(void *context), void *context);

/* Whether that is worth while: what has to be read from a disk each time is not read twice. */
static inline bool backend_finds_zeros(const struct backend *backend)
{
    return backend->direct_fd < 0;
}

#endif
