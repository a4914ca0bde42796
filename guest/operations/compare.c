/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares two disks, with qemu-img's verdicts. What is zero in both is not read. A disk that ends earlier is the same
 * as one that goes on with zeros, except in strict mode, which also wants the same extents to be allocated.
 *
 * A difference is told with the offset that qemu-img tells: that of the sector, counted from where the extent of either
 * disk begins.
 */
#include "base/checked.h"
#include "base/units.h"
#include "guest/operations/disk_pair.h"
#include "guest/operations/job/image_job.h"
#include "guest/operations/job/progress_report.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/runtime/messages.h"

#define ARENA_RESERVE_LEN (64ull << 10)

struct compare {
    struct image_job *job;
    struct image *images[2];
    struct disk_pair pair; /* all before pair.voff is the same; pair.end is where the longer disk ends */
    struct progress progress;
    uint64_t both_end; /* where the shorter disk ends */
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
        stretch = known_stretches_look(compare->known, compare->pair.voff);
    }
    /* Not at the disks' end: that an extent goes up to there is a part of what is compared. */
    if (stretch.is_known && stretch.len < compare->both_end - compare->pair.voff) {
        compare->status_end = compare->pair.voff + stretch.len;
        *ret_same = true;
        return true;
    }
    compare->status_end = compare->both_end;
    for (uint32_t i = 0; i < 2; i++) {
        struct image *image = compare->images[i];
        struct chain_extent found;
        RETURN_IF_FAILED(
            image_status(image, compare->pair.voff, compare->both_end - compare->pair.voff, &found, error));
        status[i] = status_of(image, &found);
        compare->status_end = min_u64(compare->status_end, compare->pair.voff + found.extent.len);
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
        RETURN_IF_FAILED(image_job_open(job, i, IMAGE_TO_READ, &compare->images[i], error));
    }
    const uint64_t lens[] = {compare->images[0]->virtual_len, compare->images[1]->virtual_len};
    compare->both_end = min_u64(lens[0], lens[1]);
    compare->known = known_stretches_make(job->environment->arena, compare->images[0], compare->images[1]);
    struct disk_pair_setup setup = {
        .job = job,
        .images = compare->images,
        .end = max_u64(lens[0], lens[1]),
        .reserve_len = ARENA_RESERVE_LEN,
        .splits_sectors = true,
    };
    RETURN_IF_FAILED(disk_pair_make(&compare->pair, &setup, error));
    for (uint32_t i = 0; i < 2; i++) {
        reader_skip_known(compare->pair.sides[i].reader, compare->known);
    }
    return true;
}

static void conclude(struct compare *compare, instar_CompareVerdict verdict, uint64_t voff)
{
    compare->verdict.verdict = verdict;
    compare->verdict.offset = voff;
    compare->verdict.sizes_differ = compare->pair.voff >= compare->both_end && compare->both_end < compare->pair.end;
}

/* Compares what both sides have. Sets the verdict when there is one. */
static bool compare_parts(struct compare *compare, struct error *error)
{
    uint64_t limit = compare->pair.voff < compare->both_end ? compare->both_end : compare->pair.end;
    if (compare->is_strict && compare->pair.voff < compare->both_end) {
        bool is_same = true;
        if (compare->pair.voff >= compare->status_end) {
            RETURN_IF_FAILED(compare_status(compare, &is_same, error));
        }
        if (!is_same) {
            conclude(compare, instar_CompareVerdict_COMPARE_ALLOCATION, compare->pair.voff);
            return true;
        }
        limit = compare->status_end;
    }
    uint64_t len = min_u64(disk_pair_len(&compare->pair), limit - compare->pair.voff);
    uint64_t same_len = disk_pair_difference(&compare->pair, 0, len);
    if (same_len < len) {
        conclude(compare, instar_CompareVerdict_COMPARE_CONTENT, compare->pair.voff + round_down(same_len, SECTOR_LEN));
        return true;
    }
    disk_pair_take(&compare->pair, len);
    progress_add(&compare->progress, len);
    if (compare->pair.voff == compare->pair.end) {
        conclude(compare, instar_CompareVerdict_COMPARE_IDENTICAL, 0);
    }
    return true;
}

static bool compare_disks(struct compare *compare, struct error *error)
{
    while (compare->verdict.verdict == instar_CompareVerdict_COMPARE_NONE) {
        bool has_both;
        RETURN_IF_FAILED(disk_pair_fill(&compare->pair, &has_both, error));
        if (has_both) {
            RETURN_IF_FAILED(compare_parts(compare, error));
            RETURN_IF_FAILED(io_poll(compare->job->io, error));
        } else {
            RETURN_IF_FAILED(disk_pair_wait(&compare->pair, 0, error));
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
    progress_init(&compare.progress, compare.pair.end, SECTOR_LEN, job->message->progress_percent);
    if (compare.is_strict && compare.both_end != compare.pair.end) {
        conclude(&compare, instar_CompareVerdict_COMPARE_SIZE, 0);
    } else if (compare.pair.end == 0) {
        conclude(&compare, instar_CompareVerdict_COMPARE_IDENTICAL, 0);
    }
    RETURN_IF_FAILED(compare_disks(&compare, error));
    job->result.bytes_read = disk_pair_bytes_read(&compare.pair);
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_compare_tag, .kind.compare = compare.verdict};
    messages_send(&message);
    return true;
}
