/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx_region.h"

#include "base/checked.h"

#define ENTRIES_MAX 2047u /* 2.2.3.1 */
#define ENTRY_REQUIRED 1u

static const char signature[4] = {'r', 'e', 'g', 'i'};
/* 2DC27766-F623-4200-9D64-115E9BFD4A08 and 8B7CA206-4790-4B9A-B8FE-575F050F886E (2.2.3.2). */
static const struct vhdx_guid table_id = {
    {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08}};
static const struct vhdx_guid metadata_id = {
    {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}};

struct table_disk {
    char signature[4];
    struct le32 checksum;
    struct le32 entry_count;
    struct le32 reserved;
};

struct entry_disk {
    struct vhdx_guid id;
    struct le64 off;
    struct le32 len;
    struct le32 flags;
};

bool vhdx_region_table_is_sound(struct span bytes)
{
    return bytes.len == VHDX_REGION_TABLE_LEN && vhdx_checksum_fits(bytes);
}

bool vhdx_region_overlaps(struct vhdx_region a, struct vhdx_region b)
{
    return a.off < b.off + b.len && b.off < a.off + a.len;
}

bool vhdx_regions_overlap(const struct vhdx_regions *regions, struct vhdx_region place)
{
    bool overlaps = vhdx_region_overlaps(place, regions->table) || vhdx_region_overlaps(place, regions->metadata);
    for (uint32_t i = 0; i < regions->other_count && i < VHDX_REGION_OTHERS_MAX; i++) {
        overlaps |= vhdx_region_overlaps(place, regions->others[i]);
    }
    return overlaps;
}

static bool entry_parse(struct span bytes, uint32_t index, struct entry_disk *ret_disk, struct vhdx_region *ret_region,
                        struct error *error)
{
    if (!span_copy(bytes, sizeof(struct table_disk) + (uint64_t)index * sizeof(*ret_disk), ret_disk,
                   sizeof(*ret_disk))) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: entry %u is behind its end", index);
    }
    *ret_region = (struct vhdx_region){le64_get(ret_disk->off), le32_get(ret_disk->len)};
    if (ret_region->off < VHDX_MIB || ret_region->off % VHDX_ALIGNMENT != 0 || ret_region->len == 0 ||
        ret_region->len % VHDX_ALIGNMENT != 0 || ret_region->off > INT64_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: entry %u of %llu bytes at offset 0x%llx", index,
                         (unsigned long long)ret_region->len, (unsigned long long)ret_region->off);
    }
    return true;
}

static void other_take(struct vhdx_regions *regions, struct vhdx_region region)
{
    if (regions->other_count < VHDX_REGION_OTHERS_MAX) {
        regions->others[regions->other_count] = region;
    }
    regions->other_count++;
    regions->others_end_off = max_u64(regions->others_end_off, region.off + region.len);
}

/* Takes a region that is known, once. One that is not is refused if the file cannot be understood without it. */
static bool region_take(struct vhdx_regions *regions, const struct entry_disk *disk, struct vhdx_region region,
                        struct error *error)
{
    bool is_table = vhdx_guid_equal(&disk->id, &table_id);
    if (!is_table && !vhdx_guid_equal(&disk->id, &metadata_id)) {
        if ((le32_get(disk->flags) & ENTRY_REQUIRED) != 0) {
            return error_set(error, ERROR_UNSUPPORTED, NULL, "region table: a required region that is not known");
        }
        other_take(regions, region);
        return true;
    }
    struct vhdx_region *known = is_table ? &regions->table : &regions->metadata;
    if (known->len != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: the %s is there twice",
                         is_table ? "block allocation table" : "metadata");
    }
    *known = region;
    return true;
}

bool vhdx_region_table_parse(struct span bytes, struct vhdx_region log, struct vhdx_regions *ret_regions,
                             struct error *error)
{
    struct table_disk disk;
    struct vhdx_regions regions = {.table = {0}, .metadata = {0}};
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) || memcmp(disk.signature, signature, sizeof(signature)) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: no signature");
    }
    if (le32_get(disk.entry_count) > ENTRIES_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: too many entries");
    }
    for (uint32_t i = 0; i < le32_get(disk.entry_count); i++) {
        struct entry_disk entry;
        struct vhdx_region region;
        RETURN_IF_FAILED(entry_parse(bytes, i, &entry, &region, error));
        RETURN_IF_FAILED(region_take(&regions, &entry, region, error));
    }
    if (regions.table.len == 0 || regions.metadata.len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: no %s",
                         regions.table.len == 0 ? "block allocation table" : "metadata");
    }
    if (vhdx_region_overlaps(regions.table, regions.metadata) ||
        (log.len != 0 && (vhdx_region_overlaps(regions.table, log) || vhdx_region_overlaps(regions.metadata, log)))) {
        return error_set(error, ERROR_MALFORMED, NULL, "region table: regions overlap");
    }
    *ret_regions = regions;
    return true;
}

void vhdx_region_table_emit(const struct vhdx_regions *regions, uint8_t *ret_bytes)
{
    struct {
        struct table_disk head;
        struct entry_disk entries[2];
    } disk = {
        .head.entry_count = le32_make(2),
        .entries = {{.id = table_id,
                     .off = le64_make(regions->table.off),
                     .len = le32_make((uint32_t)regions->table.len),
                     .flags = le32_make(ENTRY_REQUIRED)},
                    {.id = metadata_id,
                     .off = le64_make(regions->metadata.off),
                     .len = le32_make((uint32_t)regions->metadata.len),
                     .flags = le32_make(ENTRY_REQUIRED)}},
    };
    memcpy(disk.head.signature, signature, sizeof(signature));
    memcpy(ret_bytes, &disk, sizeof(disk));
    vhdx_checksum_set(ret_bytes, VHDX_REGION_TABLE_LEN);
}
