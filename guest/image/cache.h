/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of images: a bounded number of blocks of files, the least recently used one is replaced. All images of a
 * job share one cache, so memory does not grow with tables or chains.
 */
#ifndef INSTAR_GUEST_IMAGE_CACHE_H
#define INSTAR_GUEST_IMAGE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/image/file.h"
#include "guest/runtime/arena.h"

/* Blocks lie at multiples of this in their file. Large enough for one read of most tables, and of many headers. */
#define CACHE_BLOCK_LEN 65536u

struct cache;

/*
 * NULL when the arena is too small for `block_count` (at least 4) blocks. Blocks are used from the last one down:
 * memory of the first ones is touched only when there is so much metadata.
 */
MUST_CHECK struct cache *cache_make(struct arena *arena, uint32_t block_count);

/*
 * The bytes of `file` from `off` on, as many as there are in one block and `len` at most, one at least. They stay
 * valid until the next call. Behind the file's end there are zeros.
 */
MUST_CHECK bool cache_view(struct cache *cache, struct file *file, uint64_t off, uint64_t len, struct span *ret_bytes,
                           struct error *error);

/* Copies `len` bytes, over as many blocks as that takes. */
MUST_CHECK bool cache_read(struct cache *cache, struct file *file, uint64_t off, void *target, size_t len,
                           struct error *error);

/* One big-endian word; `off` is a multiple of 8 (4). The way to a table's entry. */
MUST_CHECK bool cache_read_be64(struct cache *cache, struct file *file, uint64_t off, uint64_t *ret_value,
                                struct error *error);
MUST_CHECK bool cache_read_be32(struct cache *cache, struct file *file, uint64_t off, uint32_t *ret_value,
                                struct error *error);

/* Lays `overlay` over what is read of the file from now on; what the cache has of it is read again. */
void cache_set_overlay(struct cache *cache, struct file *file, const struct file_overlay *overlay);

/* `bytes` have been written to the file at `off`: what the cache has of them is as in the file again. */
void cache_update(struct cache *cache, struct file *file, uint64_t off, struct span bytes);

#endif
