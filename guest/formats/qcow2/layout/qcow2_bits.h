/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of bitmaps (qcow2.txt, "Dirty tracking bitmaps"): the first one is the lowest of the first byte. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_BITS_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_BITS_H

#include <stdint.h>

/* Sets bits [from, to). */
void qcow2_bits_set(uint8_t *bytes, uint64_t from, uint64_t to);

/* Of `len` bytes, clears the bits from `count` on. */
void qcow2_bits_cut(uint8_t *bytes, uint64_t len, uint64_t count);

/* A part of a bitmap: bits [first, first + count) of it, the first one of them the lowest of bytes[0]. */
struct qcow2_bits {
    uint8_t *bytes;
    uint64_t first;
    uint64_t count;
};

/*
 * Sets each bit of `target` that stands for a part of what a bit of `source` stands for, which is set: granules of the
 * target have 2 to the power target_bits bytes, of the source source_bits. Offsets of bytes that the bits stand for are
 * below 2^64.
 */
void qcow2_bits_merge(struct qcow2_bits target, uint32_t target_bits, struct qcow2_bits source, uint32_t source_bits);

#endif
