/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span is a run of bytes with its length. Whoever reads untrusted bytes takes a span, not a pointer.
 */
#ifndef INSTAR_BASE_SPAN_H
#define INSTAR_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/checked.h"

struct span {
    const uint8_t *data;
    size_t len;
};

/* Sets *ret_part to `len` bytes of `whole` from `off`, when they are there. */
static inline bool MUST_CHECK span_slice(struct span whole, uint64_t off, uint64_t len, struct span *ret_part)
{
    if (!range_is_within(off, len, whole.len)) {
        return false;
    }
    *ret_part = (struct span){whole.data + off, (size_t)len};
    return true;
}

/* Copies `len` bytes of `whole` from `off` to `target`, when they are there. */
static inline bool MUST_CHECK span_copy(struct span whole, uint64_t off, void *target, size_t len)
{
    struct span part;
    if (!span_slice(whole, off, len, &part)) {
        return false;
    }
    memcpy(target, part.data, len);
    return true;
}

#endif
