/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes deflate streams (RFC 1951) whose distances are 4 KiB at most, so that a reader needs no larger window. What it
 * makes depends on the bytes and the level only.
 */
#ifndef INSTAR_GUEST_CODECS_DEFLATE_ENCODE_H
#define INSTAR_GUEST_CODECS_DEFLATE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define DEFLATE_ENCODE_LEVEL_MIN 1
#define DEFLATE_ENCODE_LEVEL_MAX 12

/* Bytes of memory that a call needs, aligned like any object; what is in it before and after does not matter. */
size_t deflate_encode_scratch_len(void);

/* Compresses `bytes`. Returns the stream's length, or 0 when it would be longer than target_len. */
size_t deflate_encode(int level, struct span bytes, uint8_t *target, size_t target_len, void *scratch);

#endif
