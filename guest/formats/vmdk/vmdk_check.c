/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_check.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/vmdk/vmdk_map.h"
#include "guest/image/finding.h"

/* As many grains as one look takes. */
#define RUN_MAX (1ull << 20)
/* A table that is known to be sound takes 8 bytes. */
#define SOUND_COUNT 16384u

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

/* Of the last grain, only what the disk has need be there. A compressed one says itself how long it is. */
static bool is_cut(const struct vmdk_extent *extent, uint64_t grain, uint64_t off, uint64_t file_len)
{
    uint64_t grain_len = extent->tables.grain_len;
    return !extent->tables.is_compressed &&
           !range_is_within(off, min_u64(grain_len, extent->len - grain * grain_len), file_len);
}

static bool ends_after_end(struct findings *findings, const struct vmdk_extent *extent, uint64_t off,
                           struct error *error)
{
    check_finding(findings, "ERROR: cluster for sector %llu ends after EOF",
                  (unsigned long long)((extent->voff + off) / VMDK_SECTOR_LEN));
    return failed("Invalid argument", error);
}

/*
 * Tables in which nothing was wrong, each at the place that its offset has: a small file has few of them, and may use
 * each a million times. A bound on memory; another table at the same place is looked at again.
 */
struct sound_tables {
    uint64_t *offs;             /* SOUND_COUNT; 0: none. No table is at 0 */
    uint64_t pending_off;       /* the one that is being looked at, 0: none, */
    uint64_t pending_end_grain; /* and the first grain behind it */
};

static uint64_t *sound_place(const struct sound_tables *sound, uint64_t off)
{
    return &sound->offs[off / VMDK_SECTOR_LEN % SOUND_COUNT];
}

/* A table for which the file has no storage says nothing: QEMU makes all tables of a new image. */
static bool is_in_hole(const struct vmdk_extent *extent, uint64_t table_off)
{
    const struct vmdk_tables *tables = &extent->tables;
    enum file_extent_kind kind;
    uint64_t len;
    struct error ignored = {0};
    return table_off < extent->file->len && file_extent(extent->file, table_off, &kind, &len, &ignored) &&
           kind == FILE_HOLE && len >= (uint64_t)tables->table_count * (tables->is_sesparse ? 8 : 4);
}

/*
 * How many grains from this one on are those of whole tables that are sound; where that is none, the table that begins
 * here is looked at from now on.
 */
static uint64_t sound_grains(struct image *image, struct vmdk_extent *extent, struct sound_tables *sound,
                             uint64_t grain, uint64_t grain_count)
{
    uint64_t table_count = extent->tables.table_count;
    uint64_t whole_count = (grain_count - grain) / table_count;
    uint64_t off, count;
    struct error ignored = {0}; /* it is found again, and told, when the grains are looked at */
    if (grain % table_count != 0 || whole_count == 0 ||
        !vmdk_table_of_grain(image, extent, grain, whole_count, &off, &count, &ignored) || off == 0) {
        return 0;
    }
    if (*sound_place(sound, off) == off || is_in_hole(extent, off)) {
        return count * table_count;
    }
    sound->pending_off = off;
    sound->pending_end_grain = grain + table_count;
    return 0;
}

static bool check_grains(struct image *image, struct vmdk_extent *extent, struct sound_tables *sound,
                         struct findings *findings, struct error *error)
{
    uint64_t grain_len = extent->tables.grain_len;
    uint64_t grain_count = divide_up(extent->len, grain_len);
    uint64_t file_len = round_up(extent->file->len, VMDK_SECTOR_LEN);
    uint64_t grain = 0;
    while (grain < grain_count) { /* ends: runs are not empty */
        struct vmdk_grain_run run;
        struct error why = {0};
        uint64_t sound_count = sound_grains(image, extent, sound, grain, grain_count);
        if (sound_count > 0) {
            grain += sound_count;
            continue;
        }
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
        uint64_t last_grain = grain + run.grain_count - 1;
        if (run.kind == VMDK_GRAIN_STORED && is_cut(extent, last_grain, last_off, file_len)) {
            return ends_after_end(findings, extent, last_grain * grain_len, error);
        }
        grain += run.grain_count;
        if (sound->pending_off != 0 && grain == sound->pending_end_grain) {
            *sound_place(sound, sound->pending_off) = sound->pending_off;
            sound->pending_off = 0;
        }
    }
    return true;
}

/* As in QEMU, whether it begins within its file; and whether it ends there, too. */
static bool check_flat(const struct vmdk_extent *extent, struct findings *findings, struct error *error)
{
    uint64_t file_len = round_up(extent->file->len, VMDK_SECTOR_LEN);
    if (extent->flat_off >= file_len) {
        return points_after_end(findings, extent, 0, error);
    }
    if (!range_is_within(extent->flat_off, extent->len, file_len)) {
        check_finding(findings, "ERROR: flat extent from sector %llu on has %llu sectors, and its file only %llu",
                      (unsigned long long)(extent->voff / VMDK_SECTOR_LEN),
                      (unsigned long long)(extent->len / VMDK_SECTOR_LEN),
                      (unsigned long long)((file_len - extent->flat_off) / VMDK_SECTOR_LEN));
        return failed("Invalid argument", error);
    }
    return true;
}

static bool sound_make(struct image *image, struct sound_tables *ret_sound, struct error *error)
{
    *ret_sound = (struct sound_tables){
        .offs = arena_allocate(image->environment->arena, SOUND_COUNT * sizeof(uint64_t), sizeof(uint64_t))};
    return ret_sound->offs != NULL ||
           error_set(error, ERROR_LIMIT, image->file->name, "no memory is left to check the image's tables");
}

bool vmdk_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error)
{
    struct vmdk *vmdk = vmdk_of(image);
    struct findings findings = {findings_max};
    struct sound_tables sound;
    RETURN_IF_FAILED(sound_make(image, &sound, error));
    (void)ret_result; /* all counts are 0 where nothing is wrong */
    for (uint32_t i = 0; i < vmdk->extent_count; i++) {
        struct vmdk_extent *extent = &vmdk->extents[i];
        if (extent->kind == VMDK_KIND_SPARSE) {
            memset(sound.offs, 0, SOUND_COUNT * sizeof(*sound.offs)); /* they are in another file */
            RETURN_IF_FAILED(check_grains(image, extent, &sound, &findings, error));
        } else if (extent->kind == VMDK_KIND_FLAT) {
            RETURN_IF_FAILED(check_flat(extent, &findings, error));
        }
    }
    return true;
}
