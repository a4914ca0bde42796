/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, and what is where: the BAT tells for each cluster of the disk where it is in the file. */
#include "guest/formats/parallels/parallels.h"

#include "base/checked.h"
#include "guest/image/format_open.h"
#include "guest/image/probe.h"
#include "guest/image/tables/extent_end.h"

static int parallels_probe(struct span head, struct span name)
{
    (void)name;
    return parallels_header_probe(head) ? PROBE_SURE : 0;
}

/* QEMU's info tells neither the clusters' length nor the dirty flag. */
static bool parallels_open(struct image *image, struct error *error)
{
    struct parallels *parallels;
    uint8_t head[PARALLELS_HEADER_LEN];
    RETURN_IF_FAILED(format_open_read(image, 0, head, sizeof(head), error));
    RETURN_IF_FAILED(format_open_state(image, sizeof(*parallels), (void **)&parallels, error));
    RETURN_IF_FAILED(parallels_header_parse((struct span){head, sizeof(head)}, &parallels->header, error));
    parallels->bat = (struct block_table){
        .file = image->file,
        .off = PARALLELS_HEADER_LEN,
        .count = parallels->header.entry_count,
        .word = BLOCK_TABLE_LE32,
    };
    RETURN_IF_FAILED(format_open_set_len(image, parallels->header.disk_len, error));
    /* As in QEMU, who writes to the image does not look at it. */
    return parallels->header.extension_off == 0 || image->purpose == IMAGE_TO_CHANGE ||
           parallels_extension_check(image, error);
}

static bool parallels_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent,
                          struct error *error)
{
    const struct parallels *parallels = parallels_of(image);
    const struct parallels_header *header = &parallels->header;
    struct cache *cache = image->environment->cache;
    struct extent extent = {.voff = voff, .len = len, .kind = EXTENT_UNALLOCATED};
    uint64_t index = voff / header->cluster_len;
    uint64_t in_cluster = voff % header->cluster_len;
    uint64_t count_max = (in_cluster + len - 1) / header->cluster_len + 1;
    uint64_t step = header->cluster_len / header->unit_len;
    uint64_t entry, count;
    if (index < header->entry_count) { /* what the BAT does not have is not there, as in QEMU */
        RETURN_IF_FAILED(block_table_run(cache, &parallels->bat, index, count_max, step, &entry, &count, error));
        if (entry == 0) {
            RETURN_IF_FAILED(block_table_run(cache, &parallels->bat, index, count_max, 0, &entry, &count, error));
        } else {
            extent.kind = EXTENT_DATA;
            extent.has_file_off = true;
            extent.file = image->file;
            extent.file_off = entry * header->unit_len + in_cluster; /* 32 and 31 bits */
        }
        extent.len = min_u64(len, count * header->cluster_len - in_cluster);
        extent_look_for_end(&extent, header->cluster_len);
        extent_look_for_entry(&extent, &parallels->bat, index);
    }
    *ret_extent = extent;
    return true;
}

const struct format parallels_format = {
    .name = "parallels",
    .probe = parallels_probe,
    .open = parallels_open,
    .map = parallels_map,
    .check = parallels_check,
    .repair = parallels_repair,
    .create = parallels_create,
    .open_target = parallels_open_target,
};
