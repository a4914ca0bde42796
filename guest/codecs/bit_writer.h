/* SPDX-License-Identifier: Apache-2.0 */
/* Bits for a stream that is sent with the lowest bit of each byte first (RFC 1951, 3.1.1). */
#ifndef INSTAR_GUEST_CODECS_BIT_WRITER_H
#define INSTAR_GUEST_CODECS_BIT_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/endian.h"

/* Bits that can be put between two calls of bit_writer_flush. */
#define BIT_WRITER_ROOM 56u

struct bit_writer {
    uint64_t bits;      /* not yet written: the lowest ones */
    uint32_t bit_count; /* of them; below 8 after bit_writer_flush */
    uint8_t *next;
    uint8_t *end;
    bool is_full; /* something had no room; what was written is of no use */
};

/* `value` has no bits above its `count` ones. */
static inline void bit_writer_put(struct bit_writer *writer, uint64_t value, uint32_t count)
{
    writer->bits |= value << writer->bit_count;
    writer->bit_count += count;
}

static inline void bit_writer_flush(struct bit_writer *writer)
{
    uint32_t byte_count = writer->bit_count / 8;
    if (writer->end - writer->next >= (int)sizeof(writer->bits)) {
        *(struct le64 *)writer->next = le64_make(writer->bits);
    } else if (writer->end - writer->next >= (int)byte_count) {
        for (uint32_t i = 0; i < byte_count; i++) {
            writer->next[i] = (uint8_t)(writer->bits >> 8 * i);
        }
    } else {
        writer->is_full = true;
        byte_count = 0;
        writer->bit_count = 0;
        writer->bits = 0;
    }
    writer->next += byte_count;
    writer->bits >>= 8 * byte_count; /* 7 bytes at most */
    writer->bit_count -= 8 * byte_count;
}

/* Zeros up to the next byte. */
static inline void bit_writer_align(struct bit_writer *writer)
{
    writer->bit_count = (writer->bit_count + 7) & ~7u;
    bit_writer_flush(writer);
}

/* Whole bytes, after bit_writer_align. */
static inline void bit_writer_copy(struct bit_writer *writer, const uint8_t *bytes, uint32_t len)
{
    if (writer->end - writer->next < (int64_t)len) {
        writer->is_full = true;
        return;
    }
    memcpy(writer->next, bytes, len);
    writer->next += len;
}

#endif
