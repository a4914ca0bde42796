/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, and what is where. The disk is blocks of 1 MiB, and a map tells which block of the file each one is. */
#include "guest/formats/vdi/vdi.h"

#include "base/checked.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"
#include "guest/image/tables/extent_end.h"

static int vdi_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 64, "\x7f\x10\xda\xbe") ? PROBE_SURE : 0;
}

static bool vdi_open(struct image *image, struct error *error)
{
    struct vdi *vdi;
    uint8_t head[VDI_HEADER_LEN];
    RETURN_IF_FAILED(format_open_read(image, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*vdi), (void **)&vdi, error));
    RETURN_IF_FAILED(vdi_header_parse((struct span){head, sizeof(head)}, &vdi->header, error));
    vdi->map = (struct block_table){
        .file = image->file,
        .off = vdi->header.map_off,
        .count = vdi->header.block_count,
        .word = BLOCK_TABLE_LE32,
    };
    image->cluster_len = VDI_BLOCK_LEN;
    image->has_dirty_flag = true; /* as QEMU has it: false */
    return format_open_set_len(image, vdi->header.disk_len, error);
}

static bool vdi_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    const struct vdi *vdi = vdi_of(image);
    uint64_t block = voff / VDI_BLOCK_LEN;
    uint64_t in_block = voff % VDI_BLOCK_LEN;
    uint64_t count_max = (in_block + len - 1) / VDI_BLOCK_LEN + 1; /* does not wrap: within the disk */
    uint64_t entry, count;
    RETURN_IF_FAILED(block_table_run(image->environment->cache, &vdi->map, block, count_max, 1, &entry, &count, error));
    struct extent extent = {.voff = voff, .kind = EXTENT_ZERO};
    if (entry < VDI_ENTRY_NONE_MIN) {
        /* A run of blocks ends where the numbers that mean none begin. 2^32 blocks of 2^20 bytes: nothing wraps. */
        count = min_u64(count, VDI_ENTRY_NONE_MIN - entry);
        extent.kind = EXTENT_DATA;
        extent.has_file_off = true;
        extent.may_have_holes = vdi->header.type == VDI_TYPE_STATIC;
        extent.file = image->file;
        extent.file_off = vdi->header.data_off + entry * VDI_BLOCK_LEN + in_block;
    } else {
        RETURN_IF_FAILED(
            block_table_run(image->environment->cache, &vdi->map, block, count_max, 0, &entry, &count, error));
    }
    extent.len = min_u64(len, count * VDI_BLOCK_LEN - in_block);
    extent_look_for_end(&extent, VDI_BLOCK_LEN);
    extent_look_for_entry(&extent, &vdi->map, block);
    *ret_extent = extent;
    return true;
}

const struct format vdi_format = {
    .name = "vdi",
    .tells_by_cluster = true,
    .probe = vdi_probe,
    .open = vdi_open,
    .map = vdi_map,
    .check = vdi_check,
    .repair = vdi_repair,
    .create = vdi_create,
    .open_target = vdi_open_target,
};
