/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of a file are blocks of an image, all of one length, at a multiple of it from the first one on: whether
 * one is used twice. What is looked at before an image is changed.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_BLOCK_STORAGE_H
#define INSTAR_GUEST_IMAGE_WRITE_BLOCK_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/bit_set.h"
#include "guest/image/image.h"

#define BLOCK_STORAGE_AREA_MAX 256u

struct block_storage_area {
    uint64_t off; /* bytes */
    uint64_t end_off;
};

struct block_storage {
    struct file *file;
    uint64_t file_len; /* bytes, when it was looked at: what is appended since is nobody's that is looked at */
    uint64_t block_len;
    uint64_t first_off; /* bytes; no block begins before it, and each is whole blocks behind it */
    bool has_first;     /* first_off has been moved to where blocks are */
    struct bit_set used;
    uint64_t end_off; /* bytes; behind the last block, and behind the metadata */
    /* Metadata that is anywhere in the file, besides what is before the first block. */
    struct block_storage_area areas[BLOCK_STORAGE_AREA_MAX];
    uint32_t area_count;
};

/* Blocks of the image's file, `block_len` bytes each, are behind its metadata, which ends at metadata_end. */
MUST_CHECK bool block_storage_make(struct block_storage *storage, struct image *image, uint64_t block_len,
                                   uint64_t metadata_end, struct error *error);

/*
 * Metadata is at [off, off + len), and no block. Comes before all blocks; what follows the one before it is one area
 * with it. False (MALFORMED) where it is behind the file's end, or other metadata is; or there are too many areas.
 */
MUST_CHECK bool block_storage_keep(struct block_storage *storage, uint64_t off, uint64_t len, struct error *error);

/* Block `block` of the disk begins at `off` of the file. False (MALFORMED) when no other one may be there. */
MUST_CHECK bool block_storage_add(struct block_storage *storage, uint64_t block, uint64_t off, struct error *error);

/* Behind all of it, where another block may begin. */
uint64_t block_storage_next_off(const struct block_storage *storage);

#endif
