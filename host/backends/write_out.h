/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flush waits until all is on the disk that was written through the page cache. Where one will follow, the kernel is
 * told to begin with that every WRITE_OUT_LEN bytes, so that copying and the disk work at the same time, and the flush
 * waits for the last piece only. It is a hint: that it fails, or does nothing, is nobody's error.
 */
#ifndef INSTAR_HOST_BACKENDS_WRITE_OUT_H
#define INSTAR_HOST_BACKENDS_WRITE_OUT_H

#include <stddef.h>

#include "host/backends/backend.h"

/* Long enough that the disk gets long requests, short enough that it has one soon. */
#define WRITE_OUT_LEN (16u * 1024u * 1024u)

/* After `len` bytes were written; by any thread. Does nothing unless the backend was opened with is_flushed. */
void write_out(struct backend *backend, size_t len);

#endif
