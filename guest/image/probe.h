/* SPDX-License-Identifier: Apache-2.0 */
/* What formats recognise their images by (format.probe). */
#ifndef INSTAR_GUEST_IMAGE_PROBE_H
#define INSTAR_GUEST_IMAGE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/span.h"

/* Scores, as in QEMU: a match of a magic number, and of something that other files may have, too. */
#define PROBE_SURE 100
#define PROBE_MAYBE 2

static inline bool probe_has_bytes(struct span head, size_t off, const char *bytes, size_t len)
{
    return head.len >= off && head.len - off >= len && memcmp(head.data + off, bytes, len) == 0;
}

/* Whether the literal `text`, without its NUL, stands at `off`. */
#define PROBE_HAS_TEXT(head, off, text) probe_has_bytes(head, off, text, sizeof(text) - 1)

#endif
