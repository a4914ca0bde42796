/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a disk, read the plain way: what the fast ways are compared with. */
#ifndef INSTAR_TESTS_FUZZ_FUZZ_CONTENT_H
#define INSTAR_TESTS_FUZZ_FUZZ_CONTENT_H

#include "fuzz.h"
#include "guest/image/image.h"

/*
 * The machine of fuzzed images. Memory for an operation is little, and is cleared fast: what does not get it does
 * without, or says so. Of the cache's few blocks, one makes room for the other.
 */
#define FUZZ_SETUP (&(struct native_setup){.arena_len = 8u << 20, .cache_blocks = 8, .refuses_late_files = true})

/*
 * The whole cluster of a compressed extent; the caller's to free. NULL when it cannot be. Memory is as long as it has
 * to be, so that sanitizers see the next byte.
 */
uint8_t *fuzz_decompress(struct image *image, const struct extent *extent, struct error *error);

/* The content of the whole disk into `target`, which has room for it. Nothing behind the image is opened. */
bool fuzz_content_read(struct image *image, uint8_t *target, struct error *error);

#endif
