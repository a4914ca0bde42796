/* SPDX-License-Identifier: Apache-2.0 */
/* Zstandard (RFC 8878), by libzstd. */
#ifndef INSTAR_GUEST_CODECS_ZSTD_H
#define INSTAR_GUEST_CODECS_ZSTD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"

/* Memory for a call, aligned like any object; what is in it before and after does not matter. */
#define ZSTD_SCRATCH_LEN (160u << 10)

/*
 * Expands the frames at the start of `stream`, as many as make target_len bytes; they make exactly those. What follows
 * them is left alone. False when they are damaged, or make another number of bytes; then the target's content is
 * undefined. On any vCPU.
 */
MUST_CHECK bool zstd_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch);

#endif
