/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/disk_walk.h"

#include "base/checked.h"
#include "base/units.h"

/*
 * Extents that are joined to one at most. Small clusters make short extents, and whoever takes them one by one is slow;
 * but others want to go on while a long disk of them is looked through.
 */
#define JOIN_MAX 512u

void disk_walk_init(struct disk_walk *walk, struct image *image)
{
    *walk = (struct disk_walk){.image = image, .end_voff = image->virtual_len};
}

void disk_walk_own(struct disk_walk *walk, uint64_t unit_len, const struct image *base)
{
    walk->own_unit_len = base != NULL ? unit_len : 0;
    walk->own_base = base;
    walk->own_end = walk->next_voff;
}

bool disk_walk_is_finished(const struct disk_walk *walk)
{
    return !walk->has_ahead && walk->next_voff >= walk->end_voff;
}

/* What the images above own_base have at voff: the extent of the first one that has anything, or EXTENT_UNALLOCATED. */
static bool map_own(const struct disk_walk *walk, uint64_t voff, struct extent *ret_extent, struct error *error)
{
    uint64_t left = walk->end_voff - voff;
    /* Ends: chains do; own_base is in this one. */
    for (struct image *image = walk->image; image != walk->own_base && image != NULL; image = image->backing) {
        uint64_t there = voff < image->virtual_len ? min_u64(left, image->virtual_len - voff) : 0;
        if (there == 0) { /* what is behind it is hidden by its end */
            *ret_extent = (struct extent){.voff = voff, .len = left, .kind = EXTENT_ZERO};
            return true;
        }
        if (!image->format->map(image, voff, there, ret_extent, error)) {
            error_add_place(error, image->file->name);
            return false;
        }
        if (ret_extent->len == 0 || ret_extent->len > there) {
            return error_set(error, ERROR_MALFORMED, image->file->name, "the extent at offset 0x%llx is not one",
                             (unsigned long long)voff);
        }
        if (ret_extent->kind != EXTENT_UNALLOCATED || ret_extent->is_missing) {
            return true;
        }
        left = ret_extent->len;
    }
    ret_extent->kind = EXTENT_UNALLOCATED;
    ret_extent->len = left;
    return true;
}

/* What is missing reads as zeros, or is an error. */
static bool take_missing(struct disk_walk *walk, const struct chain_extent *missing, struct error *error)
{
    if (!walk->takes_missing) {
        return image_report_missing(missing, error);
    }
    if (!walk->has_missing) {
        walk->has_missing = true;
        walk->missing_voff = missing->extent.voff;
    }
    return true;
}

/* Finds out for the units from next_voff on, where one begins, whether the image itself has something of them. */
static bool look_for_own(struct disk_walk *walk, struct error *error)
{
    uint64_t unit_len = walk->own_unit_len;
    uint64_t unit_end = min_u64(walk->next_voff + unit_len, walk->end_voff);
    uint64_t voff = walk->next_voff;
    while (voff < unit_end) { /* ends: extents are not empty */
        struct extent extent;
        RETURN_IF_FAILED(map_own(walk, voff, &extent, error));
        if (extent.is_missing) {
            struct chain_extent missing = {.extent = extent, .missing = walk->image};
            RETURN_IF_FAILED(take_missing(walk, &missing, error));
        }
        voff += extent.len;
        if (extent.kind != EXTENT_UNALLOCATED) {
            walk->is_own = true;
            walk->own_end = min_u64(round_up(voff, unit_len), walk->end_voff);
            return true;
        }
    }
    walk->is_own = false;
    walk->own_end = voff == walk->end_voff ? voff : round_down(voff, unit_len);
    return true;
}

/* Up to where the extent at next_voff may go. *ret_is_known: nobody need look what is there. */
static uint64_t look_for_known(struct disk_walk *walk, bool *ret_is_known)
{
    uint64_t voff = walk->next_voff;
    if (voff >= walk->stretch_end) {
        walk->stretch = known_stretches_look(walk->known, voff);
        walk->stretch_end = voff + min_u64(walk->stretch.len, walk->end_voff - voff);
        if (!walk->stretch.is_known && walk->stretch.len == UINT64_MAX) {
            *ret_is_known = false;
            walk->stretch_end = voff; /* asked again for the next extent */
            return walk->end_voff - voff;
        }
    }
    *ret_is_known = walk->stretch.is_known;
    return walk->stretch_end - voff;
}

static bool map(struct disk_walk *walk, struct chain_extent *ret_extent, struct error *error)
{
    uint64_t voff = walk->next_voff;
    uint64_t left = walk->end_voff - voff;
    struct chain_extent found;
    if (walk->own_unit_len != 0) {
        if (voff == walk->own_end) {
            RETURN_IF_FAILED(look_for_own(walk, error));
        }
        left = walk->own_end - voff;
        if (!walk->is_own) {
            walk->next_voff = walk->own_end;
            struct extent nothing = {.voff = voff, .len = left, .kind = EXTENT_UNALLOCATED};
            *ret_extent = (struct chain_extent){.extent = nothing, .image = walk->image};
            return true;
        }
    }
    if (walk->known != NULL) {
        bool is_known;
        left = min_u64(left, look_for_known(walk, &is_known));
        if (is_known) {
            walk->next_voff = voff + left;
            *ret_extent = (struct chain_extent){.extent = {.voff = voff, .len = left}, .image = walk->image};
            ret_extent->extent.kind = EXTENT_ZERO;
            return true;
        }
    }
    RETURN_IF_FAILED(image_map(walk->image, voff, left, &found, error));
    uint64_t end;
    if (found.extent.kind != EXTENT_ZERO && !checked_add(found.extent.file_off, found.extent.len, &end)) {
        return error_set(error, ERROR_MALFORMED, walk->image->file->name, "the extent at offset 0x%llx is not one",
                         (unsigned long long)voff);
    }
    RETURN_IF_FAILED(found.missing == NULL || take_missing(walk, &found, error));
    if (found.is_hole || found.extent.is_missing) {
        found.extent.kind = EXTENT_ZERO; /* of the file, where the format has data */
    }
    walk->next_voff = voff + found.extent.len;
    *ret_extent = found;
    return true;
}

/* Whether `next`, which begins where `first` ends, is more of the same. */
static bool is_more(const struct chain_extent *so_far, const struct chain_extent *ahead)
{
    const struct extent *first = &so_far->extent;
    const struct extent *next = &ahead->extent;
    if (next->kind != first->kind || next->voff % SECTOR_LEN != 0) {
        return false;
    }
    if (first->kind == EXTENT_ZERO || first->kind == EXTENT_UNALLOCATED) {
        return true;
    }
    if (first->kind == EXTENT_ENCRYPTED &&
        (ahead->image != so_far->image || next->cipher_off != first->cipher_off + first->len)) {
        return false;
    }
    return next->file == first->file && next->file_off == first->file_off + first->len &&
           next->may_have_holes == first->may_have_holes;
}

bool disk_walk_next(struct disk_walk *walk, struct chain_extent *ret_extent, struct error *error)
{
    struct chain_extent joined = walk->ahead;
    if (!walk->has_ahead) {
        RETURN_IF_FAILED(map(walk, &joined, error));
    }
    walk->has_ahead = false;
    enum extent_kind kind = joined.extent.kind;
    bool is_joinable = kind != EXTENT_COMPRESSED;
    for (uint32_t i = 0; is_joinable && i < JOIN_MAX && walk->next_voff < walk->end_voff; i++) {
        struct error none = {0};
        if (!map(walk, &walk->ahead, &none)) {
            break; /* found again, and told, when it is its turn */
        }
        if (!is_more(&joined, &walk->ahead)) {
            walk->has_ahead = true;
            break;
        }
        joined.extent.len += walk->ahead.extent.len;
    }
    *ret_extent = joined;
    return true;
}

struct chain_extent disk_walk_skip(struct disk_walk *walk)
{
    uint64_t voff = walk->next_voff;
    uint64_t len = min_u64(SECTOR_LEN - voff % SECTOR_LEN, walk->end_voff - voff);
    walk->next_voff += len;
    walk->own_end = max_u64(walk->own_end, walk->next_voff);
    return (struct chain_extent){.extent = {.voff = voff, .len = len, .kind = EXTENT_ZERO}, .image = walk->image};
}
