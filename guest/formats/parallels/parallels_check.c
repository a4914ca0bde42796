/* SPDX-License-Identifier: Apache-2.0 */
/* qemu-img's check: was the image closed, are all clusters in the file, is there something behind the last one. */
#include "base/checked.h"
#include "guest/formats/parallels/parallels.h"
#include "guest/image/finding.h"

/* Counts the clusters; *ret_high_off is the offset of the one that lies last in the file. */
static bool check_clusters(struct image *image, uint64_t file_len, struct findings *findings,
                           instar_CheckMessage *result, uint64_t *ret_high_off, struct error *error)
{
    const struct parallels *parallels = parallels_of(image);
    const struct parallels_header *header = &parallels->header;
    uint64_t high_off = 0, last_off = 0;
    uint32_t stored_count = (uint32_t)block_table_stored_count(&parallels->bat); /* what is behind is not allocated */
    for (uint32_t i = 0; i < stored_count; i++) { /* ends: the header's check bounds it */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_read(image->environment->cache, &parallels->bat, i, &entry, error));
        uint64_t off = entry * header->unit_len;
        if (off == 0) {
            last_off = 0;
            continue;
        }
        if (off > file_len) {
            check_finding(findings, "ERROR cluster %u is outside image", i);
            result->corruptions++;
        }
        result->allocated_clusters++;
        high_off = max_u64(high_off, off);
        result->fragmented_clusters += last_off != 0 && last_off + header->cluster_len != off ? 1 : 0;
        last_off = off;
    }
    *ret_high_off = high_off;
    return true;
}

bool parallels_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    const struct parallels_header *header = &parallels_of(image)->header;
    struct findings findings = {findings_max};
    uint64_t file_len = round_up(image->file->len, PARALLELS_SECTOR_LEN); /* as QEMU has it; a file has no 2^63 bytes */
    uint64_t high_off;
    if (header->is_in_use) {
        check_finding(&findings, "ERROR image was not closed correctly");
        ret_result->corruptions++;
    }
    RETURN_IF_FAILED(check_clusters(image, file_len, &findings, ret_result, &high_off, error));
    ret_result->has_fragmentation = true;
    ret_result->total_clusters = header->entry_count;
    ret_result->has_image_end_offset = true;
    ret_result->image_end_offset = high_off + header->cluster_len;
    if (file_len > ret_result->image_end_offset) {
        uint64_t leaked_len = file_len - ret_result->image_end_offset;
        check_finding(&findings, "ERROR space leaked at the end of the image %llu", (unsigned long long)leaked_len);
        ret_result->leaks += divide_up(leaked_len, header->cluster_len);
    }
    return true;
}
