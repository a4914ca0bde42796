/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-img's check: no block of the file is used twice or lies behind them all, and their number is as the header says.
 * Entries of a map that the file does not have to its end would all be block 0: they are one finding.
 */
#include "guest/formats/vdi/vdi.h"
#include "guest/image/bit_set.h"
#include "guest/image/finding.h"

/* An entry of the map is a block. */
static void check_block(const struct vdi *vdi, struct bit_set *used, uint32_t block, uint32_t entry,
                        struct findings *findings, instar_CheckMessage *result, uint32_t *count)
{
    if (entry >= vdi->header.block_count) {
        check_finding(findings, "ERROR: block index %u too large, is %u", block, entry);
        result->corruptions++;
        return;
    }
    (*count)++;
    if (bit_set_add(used, entry)) {
        check_finding(findings, "ERROR: block index %u also used by %u", entry, entry);
        result->corruptions++;
    }
}

bool vdi_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    const struct vdi *vdi = vdi_of(image);
    struct findings findings = {findings_max};
    struct bit_set used;
    uint32_t count = 0;
    uint32_t stored_count = (uint32_t)block_table_stored_count(&vdi->map);
    RETURN_IF_FAILED(bit_set_make(&used, image->environment->arena, vdi->header.block_count, error));
    for (uint32_t block = 0; block < stored_count; block++) { /* ends: VDI_BLOCK_COUNT_MAX at most */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_read(image->environment->cache, &vdi->map, block, &entry, error));
        if (entry < VDI_ENTRY_NONE_MIN) {
            check_block(vdi, &used, block, (uint32_t)entry, &findings, ret_result, &count);
        }
    }
    if (stored_count < vdi->header.block_count) {
        check_finding(&findings, "ERROR: the block map ends behind the end of the file, which has %u of its %u entries",
                      stored_count, vdi->header.block_count);
        ret_result->corruptions += vdi->header.block_count - stored_count;
    }
    if (count != vdi->header.allocated_count) {
        check_finding(&findings, "ERROR: allocated blocks mismatch, is %u, should be %u", count,
                      vdi->header.allocated_count);
        ret_result->corruptions++;
    }
    return true;
}
