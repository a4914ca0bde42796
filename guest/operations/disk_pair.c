/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/disk_pair.h"

#include "base/checked.h"
#include "guest/operations/difference.h"

bool disk_pair_make(struct disk_pair *pair, const struct disk_pair_setup *setup, struct error *error)
{
    const struct image_job *job = setup->job;
    struct arena *arena = job->environment->arena;
    uint64_t left = arena_left(arena, 1);
    *pair = (struct disk_pair){.io = job->io, .end = setup->end};
    for (uint32_t i = 0; i < 2; i++) {
        struct disk_side *side = &pair->sides[i];
        side->image = setup->images[i];
        struct reader_setup reader_setup = {
            .images = &side->image,
            .image_count = 1,
            .io = job->io,
            .arena = arena,
            .vcpu_count = job->vcpu_count,
            .memory_len = left > setup->reserve_len ? (left - setup->reserve_len) / 2 : 0,
            .plain_len_min = UINT64_MAX,
            .splits_sectors = setup->splits_sectors,
        };
        RETURN_IF_FAILED(reader_make(&reader_setup, &side->reader, error));
        reader_start(side->reader, side->image);
    }
    return true;
}

/* Takes parts until one is there, or the disk has ended: what is behind it is zeros. */
static bool fill_side(const struct disk_pair *pair, struct disk_side *side, struct error *error)
{
    while (!side->has_part) { /* ends: every round takes a part, and disks have an end */
        if (reader_is_finished(side->reader)) {
            side->part = (struct reader_part){
                .kind = READER_ZERO,
                .voff = pair->voff,
                .len = pair->end - pair->voff,
            };
            side->has_part = true;
            break;
        }
        bool is_taken;
        RETURN_IF_FAILED(reader_take(side->reader, &side->part, &is_taken, error));
        if (!is_taken) {
            break;
        }
        side->has_part = side->part.len > 0;
        if (!side->has_part) {
            reader_release(side->reader, &side->part);
        }
    }
    return true;
}

bool disk_pair_fill(struct disk_pair *pair, bool *ret_has, struct error *error)
{
    for (uint32_t i = 0; i < 2; i++) {
        reader_advance(pair->sides[i].reader);
    }
    for (uint32_t i = 0; i < 2; i++) {
        RETURN_IF_FAILED(fill_side(pair, &pair->sides[i], error));
    }
    *ret_has = pair->sides[0].has_part && pair->sides[1].has_part;
    return true;
}

uint64_t disk_pair_len(const struct disk_pair *pair)
{
    return min_u64(pair->sides[0].part.len, pair->sides[1].part.len);
}

uint64_t disk_pair_difference(const struct disk_pair *pair, uint64_t from, uint64_t len)
{
    const struct reader_part *a = &pair->sides[0].part;
    const struct reader_part *b = &pair->sides[1].part;
    if (a->kind == READER_ZERO && b->kind == READER_ZERO) {
        return len;
    }
    if (a->kind == READER_ZERO || b->kind == READER_ZERO) {
        const uint8_t *data = a->kind == READER_ZERO ? b->data : a->data;
        return from + difference_from_zero(data + from, len - from);
    }
    return from + difference_find(a->data + from, b->data + from, len - from);
}

void disk_pair_take(struct disk_pair *pair, uint64_t len)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct disk_side *side = &pair->sides[i];
        side->part.voff += len;
        side->part.len -= len;
        if (side->part.kind == READER_BYTES) {
            side->part.data += len;
        }
        if (side->part.len == 0) {
            reader_release(side->reader, &side->part);
            side->has_part = false;
        }
    }
    pair->voff += len;
}

bool disk_pair_wait(struct disk_pair *pair, uint32_t others_pending, struct error *error)
{
    uint32_t lacking = pair->sides[0].has_part ? 1 : 0;
    const uint32_t *other = reader_pending(pair->sides[1 - lacking].reader);
    if (others_pending > 0 && *other + *reader_pending(pair->sides[lacking].reader) == 0) {
        return io_wait(pair->io, error); /* what has to be written first takes all memory */
    }
    return reader_wait(pair->sides[lacking].reader, other, error);
}

uint64_t disk_pair_bytes_read(const struct disk_pair *pair)
{
    return reader_bytes_read(pair->sides[0].reader) + reader_bytes_read(pair->sides[1].reader);
}
