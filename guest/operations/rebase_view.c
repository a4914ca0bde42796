/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/rebase_view.h"

#include "base/checked.h"

/* Extents that are looked at in one go: others want to go on while long disks of short extents are looked through. */
#define LOOKS_MAX 512u

/* What a backing file has at a place: its extent, or what it does not have, up to `end`. */
static bool look(struct image *backing, uint64_t voff, uint64_t end, struct chain_extent *ret_extent,
                 struct error *error)
{
    if (backing != NULL && voff < backing->virtual_len) {
        return image_map(backing, voff, end - voff, ret_extent, error);
    }
    *ret_extent = (struct chain_extent){.extent = {.voff = voff, .len = end - voff, .kind = EXTENT_ZERO}};
    return true;
}

/* What a file has lost is not: who reads it, is told. */
static bool reads_as_zeros(const struct chain_extent *found)
{
    return found->missing == NULL && (found->extent.kind == EXTENT_ZERO || found->is_hole);
}

/* Whether both are the same bytes, without a look at them. */
static bool is_same(const struct chain_extent *a, const struct chain_extent *b)
{
    const struct extent *first = &a->extent;
    const struct extent *second = &b->extent;
    if (reads_as_zeros(a) || reads_as_zeros(b)) {
        return reads_as_zeros(a) && reads_as_zeros(b);
    }
    if (first->kind != second->kind || first->file != second->file || first->file_off != second->file_off) {
        return false;
    }
    return first->kind == EXTENT_DATA ||
           (first->kind == EXTENT_ENCRYPTED && first->cipher_off == second->cipher_off) || /* one file has one key */
           (first->kind == EXTENT_COMPRESSED && a->image->format == b->image->format &&
            first->compressed_len == second->compressed_len && first->cluster_voff == second->cluster_voff &&
            image_unit_len(a->image, first) == image_unit_len(b->image, second));
}

/* How far from `start` on, a unit's border, the overlay has what it has there; and whether that is nothing. */
static bool look_at_overlay(const struct rebase_view *view, uint64_t start, bool *ret_has, uint64_t *ret_end,
                            struct error *error)
{
    struct image *overlay = view->overlay;
    struct extent extent;
    if (!overlay->format->map(overlay, start, overlay->virtual_len - start, &extent, error)) {
        error_add_place(error, overlay->file->name);
        return false;
    }
    if (extent.len == 0 || extent.len > overlay->virtual_len - start) {
        return error_set(error, ERROR_MALFORMED, overlay->file->name, "the extent at offset 0x%llx is not one",
                         (unsigned long long)start);
    }
    uint64_t end = start + extent.len;
    if (end < overlay->virtual_len) {
        end = max_u64(round_down(end, view->unit_len), start + view->unit_len);
    }
    *ret_has = extent.kind != EXTENT_UNALLOCATED;
    *ret_end = min_u64(end, overlay->virtual_len);
    return true;
}

/* Of units that the overlay does not have: whole ones that are alike, or some that may not be. */
static bool look_at_backings(struct rebase_view *view, uint64_t start, uint64_t limit, struct error *error)
{
    uint64_t voff = start;
    bool is_alike = true;
    for (uint32_t i = 0; i < LOOKS_MAX && voff < limit && is_alike; i++) {
        struct chain_extent found[2];
        for (uint32_t side = 0; side < 2; side++) {
            RETURN_IF_FAILED(look(view->backings[side], voff, limit, &found[side], error));
        }
        uint64_t len = min_u64(found[0].extent.len, found[1].extent.len);
        is_alike = is_same(&found[0], &found[1]);
        /* What differs goes on, unless whole units that are alike come first. */
        if (!is_alike && voff < start + view->unit_len) {
            voff = min_u64(round_up(voff + len, view->unit_len), limit);
            view->is_equal = false;
            view->end = voff;
            return true;
        }
        voff += is_alike ? len : 0;
    }
    view->end = voff == limit ? limit : round_down(voff, view->unit_len);
    view->is_equal = view->end > start;
    if (!view->is_equal) { /* too many extents in one unit */
        view->end = min_u64(start + view->unit_len, limit);
    }
    return true;
}

static bool view_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct rebase_view *view = image->state;
    if (voff < view->start || voff >= view->end) {
        uint64_t start = round_down(voff, view->unit_len);
        uint64_t end;
        bool has;
        RETURN_IF_FAILED(look_at_overlay(view, start, &has, &end, error));
        view->start = start;
        view->end = end;
        view->is_equal = true;
        RETURN_IF_FAILED(has || look_at_backings(view, start, end, error));
    }
    *ret_extent = (struct extent){
        .voff = voff,
        .len = min_u64(len, view->end - voff),
        .kind = view->is_equal ? EXTENT_ZERO : EXTENT_UNALLOCATED,
    };
    return true;
}

static const struct format view_format = {.name = "rebase", .map = view_map};

void rebase_view_init(struct rebase_view *view, struct image *overlay, struct image *const backings[2],
                      uint64_t unit_len, uint32_t side)
{
    *view = (struct rebase_view){
        .image =
            {
                .format = &view_format,
                .environment = overlay->environment,
                .file = overlay->file,
                .backing = backings[side],
                .purpose = IMAGE_TO_READ,
                .virtual_len = overlay->virtual_len,
                .state = view,
            },
        .overlay = overlay,
        .backings = {backings[0], backings[1]},
        .unit_len = unit_len,
    };
}
