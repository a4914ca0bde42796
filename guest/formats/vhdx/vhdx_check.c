/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check: as QEMU's, whether blocks end behind the file; beyond it, whether they overlap the metadata, and whether
 * the first copy of the region table is damaged: the image was opened by the second one then, as QEMU does not.
 */
#include "base/checked.h"
#include "guest/formats/vhdx/vhdx_image.h"
#include "guest/image/finding.h"

struct vhdx_checker {
    const struct vhdx *vhdx;
    uint64_t file_len; /* bytes, whole sectors, as QEMU counts */
    instar_CheckMessage *result;
    struct findings findings;
};

static void look_at_place(struct vhdx_checker *checker, const struct vhdx_place *place)
{
    uint64_t index = place->index, off = place->off, len = place->len;
    static const char truncated[] = "Image has probably been truncated.";
    const char *fault = vhdx_place_fault(checker->vhdx, off, len);
    if (off >= checker->file_len) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "VHDX BAT entry %llu start offset %llu points after end of file (%llu). %s",
                      (unsigned long long)index, (unsigned long long)off, (unsigned long long)checker->file_len,
                      truncated);
    } else if (!range_is_within(off, place->needed_len, checker->file_len)) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "VHDX BAT entry %llu end offset %llu points after end of file (%llu). %s",
                      (unsigned long long)index, (unsigned long long)(off + place->needed_len - 1),
                      (unsigned long long)checker->file_len, truncated);
    }
    if (fault != NULL) {
        checker->result->corruptions++;
        check_finding(&checker->findings, "VHDX BAT entry %llu %s", (unsigned long long)index, fault);
    }
}

bool vhdx_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    const struct vhdx *vhdx = vhdx_of(image);
    struct vhdx_checker checker = {
        .vhdx = vhdx,
        .file_len = round_up(vhdx_file_len(image), VHDX_SECTOR_LEN),
        .result = ret_result,
        .findings = {findings_max},
    };
    uint64_t index = 0;
    bool is_end = false;
    bool is_sound;
    struct span bytes;
    RETURN_IF_FAILED(vhdx_view_regions(image, 0, &bytes, &is_sound, error));
    if (!is_sound) {
        ret_result->corruptions++;
        check_finding(&checker.findings, "ERROR: region table, copy 1 is damaged");
    }
    while (!is_end) { /* ends with the table */
        struct vhdx_place place;
        RETURN_IF_FAILED(vhdx_next_place(image, &index, &is_end, &place, error));
        if (!is_end) {
            look_at_place(&checker, &place);
        }
    }
    return true;
}
