/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx_patches.h"

#include <stddef.h>
#include <string.h>

/* Index of the first patch that ends behind `off`; the count if there is none. */
static uint32_t index_of(const struct vhdx_patches *patches, uint64_t off)
{
    uint32_t low = 0, high = patches->count;
    while (low < high) { /* ends: the distance is halved */
        uint32_t middle = low + (high - low) / 2;
        if (patches->patches[middle].off + patches->patches[middle].len > off) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

const struct vhdx_patch *vhdx_patches_find(const struct vhdx_patches *patches, uint64_t off)
{
    uint32_t index = index_of(patches, off);
    return index < patches->count ? &patches->patches[index] : NULL;
}

/* Makes `added` places for the `removed` ones from `index` on. */
static bool make_place(struct vhdx_patches *patches, uint32_t index, uint32_t removed, uint32_t added)
{
    if (patches->count - removed + added > patches->count_max) {
        return false;
    }
    memmove(&patches->patches[index + added], &patches->patches[index + removed],
            (patches->count - index - removed) * sizeof(struct vhdx_patch));
    patches->count = patches->count - removed + added;
    return true;
}

/* Only zeros have more than one sector, so only they are cut. */
bool vhdx_patches_put(struct vhdx_patches *patches, const struct vhdx_patch *patch)
{
    uint64_t end = patch->off + patch->len;
    uint32_t first = index_of(patches, patch->off);
    uint32_t behind = first;
    struct vhdx_patch before = {0}, after = {0};
    while (behind < patches->count && patches->patches[behind].off < end) { /* ends with the patches */
        const struct vhdx_patch *old = &patches->patches[behind];
        if (old->off < patch->off) {
            before = (struct vhdx_patch){.off = old->off, .len = patch->off - old->off};
        }
        if (old->off + old->len > end) {
            after = (struct vhdx_patch){.off = end, .len = old->off + old->len - end};
        }
        behind++;
    }
    uint32_t added = 1u + (before.len > 0) + (after.len > 0);
    if (!make_place(patches, first, behind - first, added)) {
        return false;
    }
    if (before.len > 0) {
        patches->patches[first++] = before;
    }
    patches->patches[first++] = *patch;
    if (after.len > 0) {
        patches->patches[first] = after;
    }
    return true;
}
