/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx.h"

#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/formats/vhdx/vhdx_log.h"
#include "guest/image/detail.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"

/*
 * Ours: where there are more blocks, opening does not look at each, and a block that is behind the end of the file is
 * told by whoever reads it. 1 TiB in the smallest blocks, 32 TiB in those of Hyper-V.
 */
#define BLOCKS_LOOKED_AT_MAX (1u << 20)

static int vhdx_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "vhdxfile") ? PROBE_SURE : 0;
}

static bool read_header(struct image *image, struct vhdx *vhdx, struct error *error)
{
    static uint8_t first[VHDX_HEADER_LEN], second[VHDX_HEADER_LEN]; /* large: vCPU 0 only */
    RETURN_IF_FAILED(format_open_read(image, VHDX_HEADER_1_OFF, first, sizeof(first), error) &&
                     format_open_read(image, VHDX_HEADER_2_OFF, second, sizeof(second), error));
    return vhdx_header_choose((struct span){first, sizeof(first)}, (struct span){second, sizeof(second)}, &vhdx->header,
                              error);
}

/* From here on the file is seen as it would be behind the replay. */
static bool read_log(struct image *image, struct vhdx *vhdx, struct error *error)
{
    RETURN_IF_FAILED(vhdx_log_read(image, &vhdx->header, &vhdx->needs_replay, &vhdx->patches, error));
    if (vhdx->needs_replay) {
        image->unit_len_max = VHDX_LOG_SECTOR_LEN;
        vhdx->overlay.apply = vhdx_apply_patches;
        cache_set_overlay(image->environment->cache, image->file, &vhdx->overlay);
    }
    return true;
}

bool vhdx_view_regions(struct image *image, uint32_t number, struct span *ret_bytes, bool *ret_is_sound,
                       struct error *error)
{
    /* One block of the cache: a table is as long as one, and lies at a multiple of that. */
    RETURN_IF_FAILED(cache_view(image->environment->cache, image->file, vhdx_region_table_off(number),
                                VHDX_REGION_TABLE_LEN, ret_bytes, error));
    *ret_is_sound = vhdx_region_table_is_sound(*ret_bytes);
    return true;
}
_Static_assert(VHDX_REGION_TABLE_LEN == CACHE_BLOCK_LEN && VHDX_REGION_TABLE_1_OFF % CACHE_BLOCK_LEN == 0 &&
                   VHDX_REGION_TABLE_2_OFF % CACHE_BLOCK_LEN == 0,
               "a view has a whole region table");

static bool read_regions(struct image *image, struct vhdx *vhdx, struct error *error)
{
    struct span bytes;
    for (uint32_t i = 0; i < VHDX_REGION_TABLE_COUNT; i++) {
        bool is_sound;
        RETURN_IF_FAILED(vhdx_view_regions(image, i, &bytes, &is_sound, error));
        if (is_sound) {
            return vhdx_region_table_parse(bytes, vhdx_log_region(&vhdx->header), &vhdx->regions, error);
        }
    }
    return error_set(error, ERROR_MALFORMED, NULL, "region table: both copies are damaged");
}

static bool read_table(struct image *image, struct vhdx *vhdx, struct error *error)
{
    uint64_t blocks = vhdx_block_count(vhdx);
    vhdx->chunk_blocks = VHDX_CHUNK_SECTORS * vhdx->metadata.sector_len / vhdx->metadata.block_len;
    vhdx->table = (struct block_table){
        .file = image->file,
        .off = vhdx->regions.table.off,
        .count = vhdx->regions.table.len / sizeof(struct le64),
        .word = BLOCK_TABLE_LE64,
    };
    /* Bitmaps that nobody needs have entries all the same, but for the last one. */
    vhdx->entry_count = vhdx->metadata.has_parent && blocks > 0 ? vhdx_bitmap_index(vhdx, blocks - 1) + 1
                        : blocks > 0                            ? vhdx_entry_index(vhdx, blocks - 1) + 1
                                                                : 0;
    if (vhdx->entry_count > vhdx->table.count) {
        return error_set(error, ERROR_MALFORMED, NULL, "block allocation table: %llu entries, of which %llu fit",
                         (unsigned long long)vhdx->entry_count, (unsigned long long)vhdx->table.count);
    }
    return true;
}

/* Blocks of which the file has lost the end are told when it is opened, as in QEMU. */
static bool check_blocks(struct image *image, const struct vhdx *vhdx, struct error *error)
{
    uint64_t file_len = round_up(vhdx_file_len(image), VHDX_SECTOR_LEN);
    uint64_t index = 0;
    for (;;) { /* ends with the table */
        bool is_end;
        struct vhdx_place place;
        RETURN_IF_FAILED(vhdx_next_place(image, &index, &is_end, &place, error));
        if (is_end) {
            return true;
        }
        const char *fault = vhdx_place_fault(vhdx, place.off, place.len);
        if (fault == NULL && !image->environment->salvages && !range_is_within(place.off, place.needed_len, file_len)) {
            fault = "points after end of file. Image has probably been truncated.";
        }
        if (fault != NULL) {
            return error_set(error, ERROR_MALFORMED, NULL, "VHDX BAT entry %llu offset %llu %s",
                             (unsigned long long)place.index, (unsigned long long)place.off, fault);
        }
    }
}

static bool vhdx_open(struct image *image, struct error *error)
{
    void *state;
    RETURN_IF_FAILED(format_open_state(image, sizeof(struct vhdx), &state, error));
    struct vhdx *vhdx = state;
    RETURN_IF_FAILED(read_header(image, vhdx, error));
    RETURN_IF_FAILED(read_log(image, vhdx, error));
    RETURN_IF_FAILED(read_regions(image, vhdx, error));
    RETURN_IF_FAILED(vhdx_metadata_read(image, vhdx->regions.metadata, &vhdx->metadata, error));
    RETURN_IF_FAILED(read_table(image, vhdx, error));
    if (!image_purpose_is_check(image->purpose) && vhdx->entry_count <= BLOCKS_LOOKED_AT_MAX) {
        RETURN_IF_FAILED(check_blocks(image, vhdx, error));
    }
    image->virtual_len = vhdx->metadata.virtual_len;
    image->cluster_len = vhdx->metadata.block_len;
    image->has_dirty_flag = true; /* as QEMU has it: false */
    return !vhdx->metadata.has_parent || vhdx_parent_read(image, error);
}

/* QEMU has nothing to say of a VHDX, and refuses one whose log has to be replayed. */
static bool vhdx_describe(struct image *image, struct error *error)
{
    (void)error;
    if (vhdx_of(image)->needs_replay) {
        detail_object("format-specific");
        detail_word("type", "vhdx");
        detail_object("data");
        detail_bool("log replayed in memory", true);
        detail_end();
        detail_end();
    }
    return true;
}

const struct format vhdx_format = {
    .name = "vhdx",
    .is_opaque = true,
    .probe = vhdx_probe,
    .open = vhdx_open,
    .map = vhdx_map,
    .table_at = vhdx_table_at,
    .decompress = vhdx_restore,
    .accepts_backing = vhdx_accepts_backing,
    .describe = vhdx_describe,
    .check = vhdx_check,
    .repair = vhdx_repair,
    .create = vhdx_create,
    .open_target = vhdx_open_target,
    .resize = vhdx_resize,
};
