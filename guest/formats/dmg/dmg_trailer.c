/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/dmg/dmg_trailer.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"

/* All that is known of it; what we do not look at are versions, flags, identifiers and checksums, as in QEMU. */
struct trailer_disk {
    uint8_t magic[4]; /* "koly" */
    struct be32 version;
    struct be32 trailer_len;
    struct be32 flags;
    struct be64 running_data_off;
    struct be64 data_off;
    struct be64 data_len;
    struct be64 resources_off;
    struct be64 resources_len;
    struct be32 segment_number;
    struct be32 segment_count;
    uint8_t segment_id[16];
    uint8_t data_checksum[136];
    struct be64 plist_off;
    struct be64 plist_len;
    uint8_t reserved[120];
    uint8_t checksum[136];
    struct be32 variant;
    struct be64 sector_count;
    uint8_t reserved_behind[12];
};
_Static_assert(sizeof(struct trailer_disk) == DMG_TRAILER_LEN, "as in the file");
_Static_assert(offsetof(struct trailer_disk, plist_off) == 0xd8, "as in the file");
_Static_assert(offsetof(struct trailer_disk, sector_count) == 0x1ec, "as in the file");

uint32_t dmg_trailer_place(uint64_t file_len, uint64_t *ret_off)
{
    uint64_t reach = 2ull * DMG_SECTOR_LEN - 1;
    uint64_t len;
    if (!checked_round_up(file_len, DMG_SECTOR_LEN, &len) || len < DMG_SECTOR_LEN) {
        return 0;
    }
    *ret_off = len > reach ? len - reach : 0;
    return (uint32_t)min_u64(len, DMG_TRAILER_SEARCH_LEN);
}

bool dmg_trailer_find(struct span bytes, uint32_t *ret_index)
{
    for (uint32_t i = 0; i + 4 <= bytes.len; i++) {
        if (memcmp(bytes.data + i, "koly", 4) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static bool parse_range(struct be64 off, struct be64 len, uint64_t trailer_off, const char *name,
                        struct dmg_range *ret_range, struct error *error)
{
    struct dmg_range range = {be64_get(off), be64_get(len)};
    if (range.off >= trailer_off || range.len > trailer_off - range.off) {
        return error_set(error, ERROR_MALFORMED, NULL, "the %s of the trailer (%llu bytes at %llu) is not before it",
                         name, (unsigned long long)range.len, (unsigned long long)range.off);
    }
    *ret_range = range;
    return true;
}

bool dmg_trailer_parse(struct span bytes, uint64_t trailer_off, struct dmg_trailer *ret_trailer, struct error *error)
{
    struct trailer_disk disk;
    struct dmg_trailer trailer;
    if (bytes.len < sizeof(disk)) {
        return error_set(error, ERROR_GUEST, NULL, "a trailer of %zu bytes", bytes.len);
    }
    memcpy(&disk, bytes.data, sizeof(disk));
    trailer.data_off = be64_get(disk.data_off);
    trailer.sector_count = be64_get(disk.sector_count);
    if (trailer.data_off > trailer_off) {
        return error_set(error, ERROR_MALFORMED, NULL, "the data fork of the trailer (at %llu) is not before it",
                         (unsigned long long)trailer.data_off);
    }
    RETURN_IF_FAILED(
        parse_range(disk.resources_off, disk.resources_len, trailer_off, "resource fork", &trailer.resources, error));
    RETURN_IF_FAILED(parse_range(disk.plist_off, disk.plist_len, trailer_off, "property list", &trailer.plist, error));
    if (trailer.sector_count > INT64_MAX / DMG_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "the trailer's number of sectors (%llu) is too large",
                         (unsigned long long)trailer.sector_count);
    }
    if (be32_get(disk.segment_count) > 1) {
        return error_set(error, ERROR_UNSUPPORTED, NULL,
                         "the image is segment %u of %u: images of several segments are not supported",
                         be32_get(disk.segment_number), be32_get(disk.segment_count));
    }
    if (trailer.resources.len == 0 && trailer.plist.len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "the trailer has neither a property list nor a resource fork");
    }
    *ret_trailer = trailer;
    return true;
}
