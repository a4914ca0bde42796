/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/layout/qcow2_bits.h"

#include <stdbool.h>
#include <string.h>

#include "base/checked.h"

void qcow2_bits_set(uint8_t *bytes, uint64_t from, uint64_t to)
{
    while (from < to) { /* ends: each round goes on by a bit at least */
        uint64_t whole = (to - from) / 8;
        if (from % 8 == 0 && whole > 0) {
            memset(bytes + from / 8, 0xff, whole);
            from += whole * 8;
        } else {
            bytes[from / 8] |= (uint8_t)(1u << from % 8);
            from++;
        }
    }
}

void qcow2_bits_cut(uint8_t *bytes, uint64_t len, uint64_t count)
{
    if (count < len * 8) {
        bytes[count / 8] &= (uint8_t)((1u << count % 8) - 1);
        memset(bytes + count / 8 + 1, 0, len - count / 8 - 1);
    }
}

/* The first bit from `at` on, below `count`, that is `value`; `count` when there is none. */
static uint64_t find(const uint8_t *bytes, uint64_t at, uint64_t count, bool value)
{
    uint8_t other = value ? 0 : 0xff;
    uint64_t others;
    memset(&others, other, sizeof(others));
    while (at < count) { /* ends: each round goes on by a bit at least */
        uint64_t word = ~others;
        if (at % 8 == 0 && count - at >= 64) {
            memcpy(&word, bytes + at / 8, sizeof(word));
        }
        if (word == others) {
            at += 64;
        } else if (at % 8 == 0 && count - at >= 8 && bytes[at / 8] == other) {
            at += 8;
        } else if ((bytes[at / 8] >> at % 8 & 1) == value) {
            return at;
        } else {
            at++;
        }
    }
    return count;
}

void qcow2_bits_merge(struct qcow2_bits target, uint32_t target_bits, struct qcow2_bits source, uint32_t source_bits)
{
    uint64_t end = target.first + target.count;
    uint64_t at = 0;
    uint64_t ahead = source.first - target.first;
    if (target_bits == source_bits && source.first >= target.first && ahead % 8 == 0 && source.count % 8 == 0 &&
        source.first + source.count <= end) { /* byte by byte */
        for (uint64_t i = 0; i < source.count / 8; i++) {
            target.bytes[ahead / 8 + i] |= source.bytes[i];
        }
        return;
    }
    while ((at = find(source.bytes, at, source.count, true)) < source.count) { /* ends: each round goes on by a bit */
        uint64_t stop = find(source.bytes, at, source.count, false);
        uint64_t from = ((source.first + at) << source_bits) >> target_bits;
        uint64_t to = ((((source.first + stop) << source_bits) - 1) >> target_bits) + 1;
        if (from < end && to > target.first) {
            qcow2_bits_set(target.bytes, max_u64(from, target.first) - target.first, min_u64(to, end) - target.first);
        }
        /* What the last bit of the target stands for needs no further look. */
        at = max_u64(stop, ((to << target_bits) >> source_bits) - source.first);
    }
}
