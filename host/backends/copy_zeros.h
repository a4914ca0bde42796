/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of zeros in memory. */
#ifndef INSTAR_HOST_BACKENDS_COPY_ZEROS_H
#define INSTAR_HOST_BACKENDS_COPY_ZEROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeros are looked for in blocks of this length, aligned in the target: smaller holes save nothing on any file system.
 */
#define COPY_ZEROS_BLOCK_LEN 4096u

/*
 * Sets *ret_is_zero to the kind of the run at the start of `len` bytes (> 0), and returns its length: a run of zeros
 * has zero_len bytes at least, or reaches an end of the memory, where it may go on; everything else is data. The
 * memory's first byte goes to `target_off`.
 */
size_t copy_zeros_run(const uint8_t *bytes, size_t len, uint64_t target_off, uint64_t zero_len, bool *ret_is_zero);

#endif
