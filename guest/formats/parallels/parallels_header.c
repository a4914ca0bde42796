/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/parallels/parallels_header.h"

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/probe.h"

#define IN_USE 0x746f6e59u
/* QEMU's limits: clusters, and the BAT, fit an int. */
#define CLUSTER_SECTORS_MAX (INT32_MAX / 513u)
#define ENTRY_COUNT_MAX (INT32_MAX / 4u)

struct parallels_header_disk {
    uint8_t magic[16];
    struct le32 version;
    struct le32 heads;
    struct le32 cylinders;
    struct le32 tracks;
    struct le32 bat_entries;
    struct le64 nb_sectors;
    struct le32 inuse;
    struct le32 data_off;
    struct le32 flags;
    struct le64 ext_off;
};

_Static_assert(sizeof(struct parallels_header_disk) == PARALLELS_HEADER_LEN, "no gaps");

static bool is_old(struct span head)
{
    return PROBE_HAS_TEXT(head, 0, "WithoutFreeSpace");
}

bool parallels_header_probe(struct span head)
{
    return (is_old(head) || PROBE_HAS_TEXT(head, 0, "WithouFreSpacExt")) && PROBE_HAS_TEXT(head, 16, "\2\0\0\0");
}

bool parallels_header_parse(struct span head, struct parallels_header *ret_header, struct error *error)
{
    struct parallels_header_disk disk;
    if (!parallels_header_probe(head) || !span_copy(head, 0, &disk, sizeof(disk))) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in Parallels format");
    }
    uint32_t sectors = le32_get(disk.tracks);
    uint64_t disk_sectors = le64_get(disk.nb_sectors);
    if (is_old(head)) {
        disk_sectors &= UINT32_MAX; /* what is behind was not in use */
    }
    if (sectors == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid image: Zero sectors per track");
    }
    if (sectors > CLUSTER_SECTORS_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Invalid image: Too big cluster");
    }
    struct parallels_header header = {
        .cluster_len = (uint64_t)sectors * PARALLELS_SECTOR_LEN,
        .unit_len = (is_old(head) ? 1 : (uint64_t)sectors) * PARALLELS_SECTOR_LEN,
        .entry_count = le32_get(disk.bat_entries),
        .is_in_use = le32_get(disk.inuse) == IN_USE,
    };
    if (header.entry_count > ENTRY_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Catalog too large");
    }
    if (!checked_multiply(disk_sectors, PARALLELS_SECTOR_LEN, &header.disk_len) || header.disk_len > INT64_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "the disk is too long: %llu sectors",
                         (unsigned long long)disk_sectors);
    }
    if (!checked_multiply(le64_get(disk.ext_off), PARALLELS_SECTOR_LEN, &header.extension_off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the format extension has an impossible offset");
    }
    *ret_header = header;
    return true;
}
