/* SPDX-License-Identifier: Apache-2.0 */
/* What of data is not worth writing: the rule of qemu-img's -S. */
#ifndef INSTAR_GUEST_OPERATIONS_READER_SPARSE_RUN_H
#define INSTAR_GUEST_OPERATIONS_READER_SPARSE_RUN_H

#include "guest/operations/reader/zero_scan.h"

/*
 * The longest run of one sort at the start of `bytes`, which come from the offset `off` of a disk: zeros, in blocks of
 * `block_len`; or what lies before zeros of `sparse_len` bytes at least, with shorter ones in it. A
 * `sparse_len` of 0 makes everything data. `is_end`: zeros at the end of `bytes` may be fewer.
 */
struct zero_run sparse_run_find(struct span bytes, uint64_t off, uint64_t sparse_len, uint64_t block_len, bool is_end);

#endif
