/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares two disks, with qemu-img's verdicts. What is zero in both is not read. A disk that ends earlier is the same
 * as one that goes on with zeros, except in strict mode, which also wants the same extents to be allocated.
 *
 * A difference is told with the offset that qemu-img tells: that of the sector, counted from where the extent of either
 * disk begins.
 */
#include "base/checked.h"
#include "guest/operations/difference.h"
#include "guest/operations/disk_walk.h"
#include "guest/operations/image_job.h"
#include "guest/operations/progress_report.h"
#include "guest/operations/reader.h"
#include "guest/runtime/messages.h"

#define ARENA_RESERVE_LEN (64ull << 10)

/* A disk, and the part of it that is being compared. */
struct side {
    struct image *image;
    struct reader *reader;
    bool has_part;
    struct reader_part part; /* what is left of it */
};

struct compare {
    struct image_job *job;
    struct side sides[2];
    struct progress progress;
    uint64_t voff;     /* all before it is the same */
    uint64_t both_end; /* where the shorter disk ends */
    uint64_t end;      /* where the longer one ends */
    bool is_strict;
    struct known_stretches *known; /* NULL: nothing is */
    uint64_t status_end;           /* strict: up to here, extents are known to be alike */
    instar_CompareMessage verdict;
};

/* What strict mode looks at. */
struct status {
    bool is_present;
    bool is_data;
    bool is_zero;
    bool has_place; /* the bytes, or their place, are in a file at a known offset */
    bool is_at_end; /* the extent reaches the end of the disk */
};

/* Where QEMU tells of a cluster at a time, only the last one reaches the end. */
static bool is_in_last_cluster(const struct image *image, uint64_t voff, uint64_t virtual_len)
{
    return !image->format->tells_by_cluster || image->cluster_len == 0 ||
           virtual_len - voff <= image->cluster_len - voff % image->cluster_len;
}

static struct status status_of(const struct image *image, const struct chain_extent *found)
{
    const struct extent *extent = &found->extent;
    bool is_plain = extent->kind == EXTENT_DATA || extent->kind == EXTENT_ZERO;
    return (struct status){
        .is_present = found->is_present,
        .is_data = extent->kind != EXTENT_ZERO,
        .is_zero = extent->kind == EXTENT_ZERO || found->is_hole,
        .has_place = is_plain && extent->has_file_off,
        .is_at_end = extent->voff + extent->len == image->virtual_len &&
                     is_in_last_cluster(image, extent->voff, image->virtual_len) &&
                     is_in_last_cluster(found->image, extent->voff, image->virtual_len),
    };
}

static bool status_is_same(const struct status *a, const struct status *b)
{
    return a->is_present == b->is_present && a->is_data == b->is_data && a->is_zero == b->is_zero &&
           a->has_place == b->has_place && a->is_at_end == b->is_at_end;
}

/* Sets *ret_same, and how far the extents at voff go in both disks. */
static bool compare_status(struct compare *compare, bool *ret_same, struct error *error)
{
    struct status status[2];
    struct known_stretch stretch = {0};
    if (compare->known != NULL) {
        stretch = known_stretches_look(compare->known, compare->voff);
    }
    /* Not at the disks' end: that an extent goes up to there is a part of what is compared. */
    if (stretch.is_known && stretch.len < compare->both_end - compare->voff) {
        compare->status_end = compare->voff + stretch.len;
        *ret_same = true;
        return true;
    }
    compare->status_end = compare->both_end;
    for (uint32_t i = 0; i < 2; i++) {
        struct image *image = compare->sides[i].image;
        struct chain_extent found;
        RETURN_IF_FAILED(image_status(image, compare->voff, compare->both_end - compare->voff, &found, error));
        status[i] = status_of(image, &found);
        compare->status_end = min_u64(compare->status_end, compare->voff + found.extent.len);
    }
    *ret_same = status_is_same(&status[0], &status[1]);
    return true;
}

static bool open_sides(struct compare *compare, struct error *error)
{
    struct image_job *job = compare->job;
    if (job->source_count != 2) {
        return error_set(error, ERROR_USAGE, NULL, "a comparison needs two images");
    }
    for (uint32_t i = 0; i < 2; i++) {
        RETURN_IF_FAILED(image_job_open(job, i, IMAGE_TO_READ, &compare->sides[i].image, error));
    }
    const uint64_t lens[] = {compare->sides[0].image->virtual_len, compare->sides[1].image->virtual_len};
    compare->both_end = min_u64(lens[0], lens[1]);
    compare->end = max_u64(lens[0], lens[1]);
    return true;
}

static bool make_readers(struct compare *compare, struct error *error)
{
    struct image_job *job = compare->job;
    struct arena *arena = job->environment->arena;
    compare->known = known_stretches_make(arena, compare->sides[0].image, compare->sides[1].image);
    uint64_t left = arena_left(arena, 1);
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &compare->sides[i];
        struct reader_setup setup = {
            .images = &side->image,
            .image_count = 1,
            .io = job->io,
            .arena = arena,
            .vcpu_count = job->vcpu_count,
            .memory_len = left > ARENA_RESERVE_LEN ? (left - ARENA_RESERVE_LEN) / 2 : 0,
            .plain_len_min = UINT64_MAX,
            .splits_sectors = true,
        };
        RETURN_IF_FAILED(reader_make(&setup, &side->reader, error));
        reader_start(side->reader, side->image);
        reader_skip_known(side->reader, compare->known);
    }
    return true;
}

/* Takes parts until one is there, or the disk has ended: what is behind it is zeros. */
static bool fill_side(const struct compare *compare, struct side *side, bool *ret_has, struct error *error)
{
    while (!side->has_part) { /* ends: every round takes a part, and disks have an end */
        if (reader_is_finished(side->reader)) {
            side->part = (struct reader_part){
                .kind = READER_ZERO,
                .voff = compare->voff,
                .len = compare->end - compare->voff,
            };
            side->has_part = true;
            break;
        }
        bool is_taken;
        RETURN_IF_FAILED(reader_take(side->reader, &side->part, &is_taken, error));
        if (!is_taken) {
            *ret_has = false;
            return true;
        }
        side->has_part = side->part.len > 0;
        if (!side->has_part) {
            reader_release(side->reader, &side->part);
        }
    }
    *ret_has = true;
    return true;
}

/* `len` bytes of both parts are compared. */
static void advance(struct compare *compare, uint64_t len)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &compare->sides[i];
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
    compare->voff += len;
    progress_add(&compare->progress, len);
}

/* The offset of the first byte that differs within `len` bytes of both parts; `len` when there is none. */
static uint64_t find_difference(const struct compare *compare, uint64_t len)
{
    const struct reader_part *a = &compare->sides[0].part;
    const struct reader_part *b = &compare->sides[1].part;
    if (a->kind == READER_ZERO && b->kind == READER_ZERO) {
        return len;
    }
    if (a->kind == READER_ZERO || b->kind == READER_ZERO) {
        return difference_from_zero(a->kind == READER_ZERO ? b->data : a->data, len);
    }
    return difference_find(a->data, b->data, len);
}

static void conclude(struct compare *compare, instar_CompareVerdict verdict, uint64_t voff)
{
    compare->verdict.verdict = verdict;
    compare->verdict.offset = voff;
    compare->verdict.sizes_differ = compare->voff >= compare->both_end && compare->both_end < compare->end;
}

/* Compares what both sides have. Sets the verdict when there is one. */
static bool compare_parts(struct compare *compare, struct error *error)
{
    uint64_t limit = compare->voff < compare->both_end ? compare->both_end : compare->end;
    if (compare->is_strict && compare->voff < compare->both_end) {
        bool is_same = true;
        if (compare->voff >= compare->status_end) {
            RETURN_IF_FAILED(compare_status(compare, &is_same, error));
        }
        if (!is_same) {
            conclude(compare, instar_CompareVerdict_COMPARE_ALLOCATION, compare->voff);
            return true;
        }
        limit = compare->status_end;
    }
    uint64_t len = min_u64(compare->sides[0].part.len, compare->sides[1].part.len);
    len = min_u64(len, limit - compare->voff);
    uint64_t same_len = find_difference(compare, len);
    if (same_len < len) {
        conclude(compare, instar_CompareVerdict_COMPARE_CONTENT, compare->voff + round_down(same_len, DISK_SECTOR_LEN));
        return true;
    }
    advance(compare, len);
    if (compare->voff == compare->end) {
        conclude(compare, instar_CompareVerdict_COMPARE_IDENTICAL, 0);
    }
    return true;
}

/* Waits for what a side lacks; tasks are everybody's. */
static bool wait(const struct compare *compare, bool has_first, struct error *error)
{
    uint32_t lacking = has_first ? 1 : 0;
    const uint32_t *others_pending = reader_pending(compare->sides[1 - lacking].reader);
    return reader_wait(compare->sides[lacking].reader, others_pending, error);
}

static bool compare_disks(struct compare *compare, struct error *error)
{
    while (compare->verdict.verdict == instar_CompareVerdict_COMPARE_NONE) {
        bool has[2];
        for (uint32_t i = 0; i < 2; i++) {
            reader_advance(compare->sides[i].reader);
        }
        for (uint32_t i = 0; i < 2; i++) {
            RETURN_IF_FAILED(fill_side(compare, &compare->sides[i], &has[i], error));
        }
        if (has[0] && has[1]) {
            RETURN_IF_FAILED(compare_parts(compare, error));
            RETURN_IF_FAILED(io_poll(compare->job->io, error));
        } else {
            RETURN_IF_FAILED(wait(compare, has[0], error));
        }
        (void)progress_report(&compare->progress);
    }
    return true;
}

bool operation_compare(struct image_job *job, struct error *error)
{
    static struct compare compare;
    compare = (struct compare){.job = job, .is_strict = job->message->operation.compare.strict};
    RETURN_IF_FAILED(open_sides(&compare, error));
    RETURN_IF_FAILED(make_readers(&compare, error));
    progress_init(&compare.progress, compare.end, DISK_SECTOR_LEN, job->message->progress_percent);
    if (compare.is_strict && compare.both_end != compare.end) {
        conclude(&compare, instar_CompareVerdict_COMPARE_SIZE, 0);
    } else if (compare.end == 0) {
        conclude(&compare, instar_CompareVerdict_COMPARE_IDENTICAL, 0);
    }
    RETURN_IF_FAILED(compare_disks(&compare, error));
    for (uint32_t i = 0; i < 2; i++) {
        job->result.bytes_read += reader_bytes_read(compare.sides[i].reader);
    }
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_compare_tag, .kind.compare = compare.verdict};
    messages_send(&message);
    return true;
}
