/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_check.h"

#include "guest/formats/vmdk/vmdk_map.h"
#include "guest/image/finding.h"

/* As many grains as one look takes. */
#define RUN_MAX (1ull << 20)

static bool failed(const char *why, struct error *error)
{
    return error_set(error, ERROR_MALFORMED, NULL, "Check failed: %s", why);
}

static bool points_after_end(struct findings *findings, const struct vmdk_extent *extent, uint64_t off,
                             struct error *error)
{
    check_finding(findings, "ERROR: cluster offset for sector %llu points after EOF",
                  (unsigned long long)((extent->voff + off) / VMDK_SECTOR_LEN));
    return failed("Invalid argument", error);
}

static bool check_grains(struct image *image, struct vmdk_extent *extent, struct findings *findings,
                         struct error *error)
{
    uint64_t grain_len = extent->tables.grain_len;
    uint64_t grain_count = extent->len / grain_len + (extent->len % grain_len != 0 ? 1 : 0);
    uint64_t file_len = round_up(extent->file->len, VMDK_SECTOR_LEN);
    uint64_t grain = 0;
    while (grain < grain_count) { /* ends: runs are not empty */
        struct vmdk_grain_run run;
        struct error why = {0};
        if (!vmdk_map_grains(image, extent, grain, min_u64(grain_count - grain, RUN_MAX), &run, &why)) {
            check_finding(findings, "ERROR: could not get cluster_offset for sector %llu (%.160s)",
                          (unsigned long long)((extent->voff + grain * grain_len) / VMDK_SECTOR_LEN), why.detail);
            return failed("Operation not permitted", error);
        }
        uint64_t last_off = run.file_off + (run.grain_count - 1) * grain_len;
        if (run.kind == VMDK_GRAIN_STORED && last_off >= file_len) {
            uint64_t within = run.file_off < file_len ? (file_len - run.file_off + grain_len - 1) / grain_len : 0;
            return points_after_end(findings, extent, (grain + within) * grain_len, error);
        }
        grain += run.grain_count;
    }
    return true;
}

bool vmdk_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    struct vmdk *vmdk = vmdk_of(image);
    struct findings findings = {findings_max};
    (void)ret_result; /* all counts are 0 where nothing is wrong */
    for (uint32_t i = 0; i < vmdk->extent_count; i++) {
        struct vmdk_extent *extent = &vmdk->extents[i];
        if (extent->kind == VMDK_KIND_SPARSE) {
            RETURN_IF_FAILED(check_grains(image, extent, &findings, error));
        } else if (extent->kind == VMDK_KIND_FLAT && extent->flat_off >= round_up(extent->file->len, VMDK_SECTOR_LEN)) {
            return points_after_end(&findings, extent, 0, error);
        }
    }
    return true;
}
