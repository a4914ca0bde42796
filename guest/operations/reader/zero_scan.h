/* SPDX-License-Identifier: Apache-2.0 */
/* Finding runs of zeros in data. */
#ifndef INSTAR_GUEST_OPERATIONS_READER_ZERO_SCAN_H
#define INSTAR_GUEST_OPERATIONS_READER_ZERO_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/zeros.h"

/* Blocks of this size are zero or not as a whole: what file systems allocate, and qemu-img's -S default. */
#define ZERO_BLOCK_LEN 4096u

struct zero_run {
    uint64_t len; /* bytes; 0 at the end of the data */
    bool is_zero;
};

/*
 * The longest run of blocks of one sort at the start of `bytes`, which come from the offset `off` of an image:
 * blocks lie at multiples of ZERO_BLOCK_LEN of the image, the first and the last one may be partial.
 */
struct zero_run zero_run_find(struct span bytes, uint64_t off);

/* The same with blocks of another length. */
struct zero_run zero_run_find_blocks(struct span bytes, uint64_t off, uint64_t block_len);

#endif
