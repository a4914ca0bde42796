/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of a file are blocks of an image, all of one length, at a multiple of it from the first one on: whether
 * one is used twice. What is looked at before an image is changed.
 */
#ifndef INSTAR_GUEST_IMAGE_BLOCK_STORAGE_H
#define INSTAR_GUEST_IMAGE_BLOCK_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/bit_set.h"
#include "guest/image/image.h"

struct block_storage {
    struct file *file;
    uint64_t block_len;
    uint64_t first_off; /* bytes; no block begins before it, and each is whole blocks behind it */
    bool has_first;     /* first_off has been moved to where blocks are */
    struct bit_set used;
    uint64_t end_off; /* bytes; behind the last block, at first behind the metadata */
};

/* Blocks of the image's file, `block_len` bytes each, are behind its metadata, which ends at metadata_end. */
MUST_CHECK bool block_storage_make(struct block_storage *storage, struct image *image, uint64_t block_len,
                                   uint64_t metadata_end, struct error *error);

/* Block `block` of the disk begins at `off` of the file. False (MALFORMED) when no other one may be there. */
MUST_CHECK bool block_storage_add(struct block_storage *storage, uint64_t block, uint64_t off, struct error *error);

#endif
