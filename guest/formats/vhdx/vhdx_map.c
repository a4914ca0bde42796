/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is where: the block allocation table, bitmaps of differencing disks, and over both what the log says. A sector
 * of the log whose bytes are payload is an extent that has to be made whole first, as a compressed one has.
 */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/image/tables/sector_bitmap.h"

bool vhdx_next_place(struct image *image, uint64_t *index, bool *ret_is_end, struct vhdx_place *ret_place,
                     struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    while (*index < vhdx->entry_count) { /* ends: a run has one entry at least */
        uint64_t entry, count;
        uint64_t i = *index;
        RETURN_IF_FAILED(block_table_run(image->environment->cache, &vhdx->table, i, vhdx->entry_count - i, 0, &entry,
                                         &count, error));
        uint32_t state = entry & VHDX_STATE_MASK;
        if (state == VHDX_PRESENT || state == VHDX_PARTIALLY_PRESENT) {
            bool is_bitmap = i % (vhdx->chunk_blocks + 1) == vhdx->chunk_blocks;
            uint64_t len = is_bitmap ? VHDX_MIB : vhdx->metadata.block_len;
            uint64_t block = i - i / (vhdx->chunk_blocks + 1);
            uint64_t left_len = vhdx->metadata.virtual_len - block * vhdx->metadata.block_len;
            *ret_place = (struct vhdx_place){
                .index = i,
                .off = entry & VHDX_OFF_MASK,
                .len = len,
                .needed_len = is_bitmap ? len : min_u64(len, left_len),
            };
            *ret_is_end = false;
            (*index)++;
            return true;
        }
        *index += count;
    }
    *ret_is_end = true;
    return true;
}

const char *vhdx_place_fault(const struct vhdx *vhdx, uint64_t off, uint64_t len)
{
    struct vhdx_region place = {off, len};
    if (off < VHDX_MIB || off > INT64_MAX - len) {
        return "has no place in the file";
    }
    if (vhdx_regions_overlap(&vhdx->regions, place) ||
        (vhdx->header.log_len != 0 && vhdx_region_overlaps(place, vhdx_log_region(&vhdx->header)))) {
        return "overlaps the image's metadata";
    }
    return NULL;
}

uint64_t vhdx_file_len(const struct image *image)
{
    const struct vhdx *vhdx = vhdx_of(image);
    bool is_longer = vhdx->needs_replay && vhdx->patches.file_len <= FILE_END_MAX;
    return is_longer ? max_u64(image->file->len, vhdx->patches.file_len) : image->file->len;
}

static bool place_check(const struct image *image, uint64_t block, uint64_t off, uint64_t len, struct error *error)
{
    const char *fault = vhdx_place_fault(vhdx_of(image), off, len);
    if (fault == NULL && off >= vhdx_file_len(image)) {
        fault = "is behind the end of the file";
    }
    return fault == NULL || error_set(error, ERROR_MALFORMED, NULL, "block allocation table: block %llu %s (0x%llx)",
                                      (unsigned long long)block, fault, (unsigned long long)off);
}

void vhdx_patch_restore(const struct vhdx_patch *patch, uint8_t sector[VHDX_LOG_SECTOR_LEN])
{
    memcpy(sector, patch->leading, sizeof(patch->leading));
    memcpy(sector + VHDX_LOG_SECTOR_LEN - sizeof(patch->trailing), patch->trailing, sizeof(patch->trailing));
}

bool vhdx_apply_patches(const struct file_overlay *overlay, struct file *file, uint64_t off, uint8_t *bytes, size_t len,
                        struct error *error)
{
    const struct vhdx *vhdx = (const struct vhdx *)overlay;
    static uint8_t sector[VHDX_LOG_SECTOR_LEN]; /* large: vCPU 0 only */
    uint64_t end = off + len;
    const struct vhdx_patch *patches_end = vhdx->patches.patches + vhdx->patches.count;
    const struct vhdx_patch *patch = vhdx_patches_find(&vhdx->patches, off);
    for (; patch != NULL && patch < patches_end && patch->off < end; patch++) {
        uint64_t from = max_u64(patch->off, off);
        uint64_t to = min_u64(patch->off + patch->len, end);
        if (!patch->is_data) {
            memset(bytes + (from - off), 0, to - from);
            continue;
        }
        RETURN_IF_FAILED(file_read(file, patch->log_off, sector, sizeof(sector), error));
        vhdx_patch_restore(patch, sector);
        memcpy(bytes + (from - off), sector + (from - patch->off), to - from);
    }
    return true;
}

bool vhdx_restore(const struct image *image, const struct extent *extent, struct span stream, uint8_t *target,
                  void *scratch, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    (void)scratch;
    for (uint32_t i = 0; i < vhdx->patches.count; i++) {
        const struct vhdx_patch *patch = &vhdx->patches.patches[i];
        if (patch->is_data && patch->log_off == extent->file_off && stream.len >= VHDX_LOG_SECTOR_LEN) {
            memcpy(target, stream.data, VHDX_LOG_SECTOR_LEN);
            vhdx_patch_restore(patch, target);
            return true;
        }
    }
    return error_set(error, ERROR_GUEST, NULL, "a sector of the log that is not one");
}

/* Cuts an extent of data to what the log leaves alone, or makes it what the log says. */
static void lay_patches_over(const struct vhdx *vhdx, struct extent *extent)
{
    const struct vhdx_patch *patch = vhdx_patches_find(&vhdx->patches, extent->file_off);
    if (patch == NULL || patch->off >= extent->file_off + extent->len) {
        return;
    }
    if (patch->off > extent->file_off) {
        extent->len = patch->off - extent->file_off;
        return;
    }
    uint64_t in_patch = extent->file_off - patch->off;
    extent->len = min_u64(extent->len, patch->len - in_patch);
    if (!patch->is_data) {
        extent->kind = EXTENT_ZERO;
        extent->has_file_off = false;
        return;
    }
    extent->kind = EXTENT_COMPRESSED;
    extent->file_off = patch->log_off;
    extent->compressed_len = VHDX_LOG_SECTOR_LEN;
    extent->cluster_len = VHDX_LOG_SECTOR_LEN;
    extent->cluster_voff = extent->voff - in_patch;
}

/* What the log makes the file longer by is zeros, but for what it says itself. */
static void cut_at_file_end(const struct image *image, struct extent *extent)
{
    uint64_t file_len = round_up(image->file->len, VHDX_SECTOR_LEN);
    if (extent->kind != EXTENT_DATA || vhdx_file_len(image) <= file_len) {
        return;
    }
    if (extent->file_off < file_len) {
        extent->len = min_u64(extent->len, file_len - extent->file_off);
    } else {
        extent->kind = EXTENT_ZERO;
        extent->has_file_off = false;
    }
}

/* A part of a block of which the image has some sectors: a run of its own ones, or of the parent's. */
static bool map_sectors(struct image *image, uint64_t block, struct extent *extent, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    uint64_t entry, count;
    bool is_own;
    uint64_t sector_len = vhdx->metadata.sector_len;
    uint64_t in_sector = extent->voff % sector_len;
    uint64_t sector = extent->voff / sector_len % (vhdx->chunk_blocks * (vhdx->metadata.block_len / sector_len));
    RETURN_IF_FAILED(
        block_table_read(image->environment->cache, &vhdx->table, vhdx_bitmap_index(vhdx, block), &entry, error));
    if ((entry & VHDX_STATE_MASK) != VHDX_PRESENT) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "block allocation table: block %llu has no bitmap of its sectors", (unsigned long long)block);
    }
    RETURN_IF_FAILED(place_check(image, block, entry & VHDX_OFF_MASK, VHDX_MIB, error));
    RETURN_IF_FAILED(
        sector_bitmap_run(image->environment->cache, image->file, entry & VHDX_OFF_MASK, SECTOR_BITMAP_LOW_FIRST,
                          sector, (in_sector + extent->len + sector_len - 1) / sector_len, &is_own, &count, error));
    extent->len = min_u64(extent->len, count * sector_len - in_sector);
    if (!is_own) {
        extent->kind = EXTENT_UNALLOCATED;
        extent->has_file_off = false;
    }
    return true;
}

static bool map_place(struct image *image, uint64_t block, uint64_t entry, struct extent *extent, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    uint64_t off = entry & VHDX_OFF_MASK;
    RETURN_IF_FAILED(place_check(image, block, off, vhdx->metadata.block_len, error));
    extent->kind = EXTENT_DATA;
    extent->has_file_off = true;
    extent->file_off = off + extent->voff % vhdx->metadata.block_len;
    if ((entry & VHDX_STATE_MASK) == VHDX_PARTIALLY_PRESENT) {
        RETURN_IF_FAILED(map_sectors(image, block, extent, error));
    }
    if (extent->kind == EXTENT_DATA) {
        lay_patches_over(vhdx, extent);
        cut_at_file_end(image, extent);
    }
    return true;
}

bool vhdx_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    uint64_t block_len = vhdx->metadata.block_len;
    uint64_t block = voff / block_len;
    uint64_t in_block = voff % block_len;
    uint64_t entry, same_count;
    /* Entries up to the bitmap's are one behind the other. */
    uint64_t count_max =
        min_u64((in_block + len + block_len - 1) / block_len, vhdx->chunk_blocks - block % vhdx->chunk_blocks);
    struct extent extent = {.voff = voff, .len = min_u64(len, block_len - in_block), .file = image->file};
    RETURN_IF_FAILED(block_table_run(image->environment->cache, &vhdx->table, vhdx_entry_index(vhdx, block), count_max,
                                     0, &entry, &same_count, error));
    uint32_t state = entry & VHDX_STATE_MASK;
    switch (state) {
    case VHDX_PARTIALLY_PRESENT:
        if (!vhdx->metadata.has_parent) {
            return error_set(error, ERROR_MALFORMED, NULL,
                             "block allocation table: block %llu is partially present, without a parent",
                             (unsigned long long)block);
        }
        RETURN_IF_FAILED(map_place(image, block, entry, &extent, error));
        break;
    case VHDX_PRESENT:
        RETURN_IF_FAILED(map_place(image, block, entry, &extent, error));
        break;
    case VHDX_NOT_PRESENT:
    case VHDX_UNDEFINED:
    case VHDX_ZERO:
    case VHDX_UNMAPPED:
    case VHDX_UNMAPPED_OLD:
        extent.kind = state == VHDX_NOT_PRESENT && vhdx->metadata.has_parent ? EXTENT_UNALLOCATED : EXTENT_ZERO;
        extent.len = min_u64(len, same_count * block_len - in_block);
        break;
    default:
        return error_set(error, ERROR_MALFORMED, NULL, "block allocation table: block %llu is in state %u",
                         (unsigned long long)block, state);
    }
    *ret_extent = extent;
    return true;
}

bool vhdx_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    uint64_t block_len = vhdx->metadata.block_len;
    uint64_t entry;
    *ret_stretch = (struct table_stretch){block_len, TABLE_NONE};
    RETURN_IF_FAILED(block_table_read(image->environment->cache, &vhdx->table, vhdx_entry_index(vhdx, voff / block_len),
                                      &entry, error));
    if ((entry & VHDX_STATE_MASK) == VHDX_PRESENT) {
        ret_stretch->table = entry & VHDX_OFF_MASK;
    }
    return true;
}
