/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of backends, for backend.c and for each kind's own file.
 *
 * An open function leaves config->fd to backend.c in every case: backend.c closes it after release, or when
 * open failed.
 */
#ifndef INSTAR_HOST_BACKENDS_KINDS_H
#define INSTAR_HOST_BACKENDS_KINDS_H

#include "host/backends/backend.h"

extern const struct backend_operations regular_operations;
extern const struct backend_operations direct_operations;
extern const struct backend_operations mmap_operations;
extern const struct backend_operations io_uring_operations;
extern const struct backend_operations memory_operations;

extern const struct backend_operations stream_operations; /* of no enum backend_kind: what a pipe gets */

struct backend *regular_open(const struct backend_config *config, struct error *error);
struct backend *direct_open(const struct backend_config *config, struct error *error);
struct backend *mmap_open(const struct backend_config *config, struct error *error);
struct backend *io_uring_open(const struct backend_config *config, struct error *error);
struct backend *memory_open(const struct backend_config *config, struct error *error);
struct backend *stream_open(const struct backend_config *config, struct error *error);

/* memory_open with another bound on the bytes that are stored. */
struct backend *memory_open_bounded(const struct backend_config *config, uint64_t stored_max_len, struct error *error);

/* Allocates a kind's struct of `struct_len` zero bytes, which begins with a struct backend, and fills that in. */
void *backend_allocate(size_t struct_len, const struct backend_operations *operations,
                       const struct backend_config *config, struct error *error);

#endif
