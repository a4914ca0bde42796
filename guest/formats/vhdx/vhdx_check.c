/* SPDX-License-Identifier: Apache-2.0 */
/* The check: as QEMU's, whether blocks end behind the file; beyond it, whether they overlap the metadata. */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/image/finding.h"

struct vhdx_checker {
    const struct vhdx *vhdx;
    uint64_t file_len; /* bytes, whole sectors, as QEMU counts */
    instar_CheckMessage *result;
    struct findings findings;
};

/* Entry `index`, which says that `len` bytes are at `off`. */
static void look_at_place(struct vhdx_checker *checker, uint64_t index, uint64_t off, uint64_t len)
{
    static const char truncated[] = "Image has probably been truncated.";
    const char *fault = vhdx_place_fault(checker->vhdx, off, len);
    if (off >= checker->file_len) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "VHDX BAT entry %llu start offset %llu points after end of file (%llu). %s\n",
                      (unsigned long long)index, (unsigned long long)off, (unsigned long long)checker->file_len,
                      truncated);
    } else if (!range_is_within(off, len, checker->file_len)) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "VHDX BAT entry %llu end offset %llu points after end of file (%llu). %s\n",
                      (unsigned long long)index, (unsigned long long)(off + len - 1),
                      (unsigned long long)checker->file_len, truncated);
    }
    if (fault != NULL) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "VHDX BAT entry %llu %s\n", (unsigned long long)index, fault);
    }
}

bool vhdx_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    struct vhdx_checker checker = {
        .vhdx = vhdx,
        .file_len = round_up(image->file->len, VHDX_SECTOR_LEN),
        .result = ret_result,
        .findings = {findings_max},
    };
    uint64_t step;
    for (uint64_t i = 0; i < vhdx->entry_count; i += step) { /* ends: step is 1 at least */
        uint64_t entry;
        RETURN_IF_FAILED(block_table_run(image->environment->cache, &vhdx->table, i, vhdx->entry_count - i, 0, &entry,
                                         &step, error));
        bool is_bitmap = i % (vhdx->chunk_blocks + 1) == vhdx->chunk_blocks;
        uint32_t state = entry & VHDX_STATE_MASK;
        if (state == VHDX_PRESENT || state == VHDX_PARTIALLY_PRESENT) {
            look_at_place(&checker, i, entry & VHDX_OFF_MASK, is_bitmap ? VHDX_MIB : vhdx->metadata.block_len);
            step = 1;
        }
    }
    return true;
}
