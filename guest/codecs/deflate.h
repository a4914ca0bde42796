/* SPDX-License-Identifier: Apache-2.0 */
/* Deflate (RFC 1951, raw: without the heads of zlib or gzip), by libdeflate. */
#ifndef INSTAR_GUEST_CODECS_DEFLATE_H
#define INSTAR_GUEST_CODECS_DEFLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/span.h"

/* Memory for a call, aligned like any object; what is in it before and after does not matter. */
#define DEFLATE_SCRATCH_LEN 16384u

/*
 * Expands the stream at the start of `stream`, which makes exactly target_len bytes; what follows it is left alone.
 * False when it is damaged or makes another number of bytes; then the target's content is undefined. On any vCPU.
 */
MUST_CHECK bool deflate_expand(struct span stream, uint8_t *target, size_t target_len, void *scratch);

#endif
