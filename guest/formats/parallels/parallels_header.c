/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/parallels/parallels_header.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/probe.h"

#define IN_USE 0x746f6e59u
/* QEMU's limits: clusters, and the BAT, fit an int. */
#define CLUSTER_SECTORS_MAX (INT32_MAX / 513u)
#define ENTRY_COUNT_MAX (INT32_MAX / 4u)

/* What QEMU says of the disk's geometry, and how long it makes the disk and its clusters at most. */
#define HEADS 16u
#define SECTORS_PER_TRACK 32u
#define IMAGE_FACTOR_MAX (1ull << 32)

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
        .data_off = (uint64_t)le32_get(disk.data_off) * PARALLELS_SECTOR_LEN,
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

bool parallels_header_make(uint64_t cluster_len, uint64_t disk_len, struct parallels_header *ret_header,
                           struct error *error)
{
    if (cluster_len >= INT64_MAX / IMAGE_FACTOR_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Cluster size is too large");
    }
    uint64_t count = cluster_len == 0 ? UINT64_MAX : (disk_len + cluster_len - 1) / cluster_len;
    if (disk_len >= IMAGE_FACTOR_MAX * cluster_len || count > ENTRY_COUNT_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Image size is too large for this cluster size");
    }
    if (cluster_len / PARALLELS_SECTOR_LEN > CLUSTER_SECTORS_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid image: Too big cluster");
    }
    *ret_header = (struct parallels_header){
        .cluster_len = cluster_len,
        .unit_len = cluster_len,
        .entry_count = (uint32_t)count,
        .disk_len = disk_len,
    };
    return true;
}

void parallels_header_emit(const struct parallels_header *header, uint64_t data_off, uint8_t *ret_bytes)
{
    uint64_t sectors = header->disk_len / PARALLELS_SECTOR_LEN;
    struct parallels_header_disk disk = {
        .magic = "WithouFreSpacEx", /* and a t, for which there is no room with a NUL */
        .version = le32_make(2),
        .heads = le32_make(HEADS),
        .cylinders = le32_make((uint32_t)(sectors / HEADS / SECTORS_PER_TRACK)),
        .tracks = le32_make((uint32_t)(header->cluster_len / PARALLELS_SECTOR_LEN)),
        .bat_entries = le32_make(header->entry_count),
        .nb_sectors = le64_make(sectors),
        .data_off = le32_make((uint32_t)(data_off / PARALLELS_SECTOR_LEN)),
    };
    disk.magic[sizeof(disk.magic) - 1] = 't';
    memcpy(ret_bytes, &disk, sizeof(disk));
}

void parallels_header_set_in_use(uint8_t *bytes, bool is_in_use)
{
    struct le32 word = le32_make(is_in_use ? IN_USE : 0);
    memcpy(bytes + offsetof(struct parallels_header_disk, inuse), &word, sizeof(word));
}

void parallels_header_drop_extension(uint8_t *bytes)
{
    memset(bytes + offsetof(struct parallels_header_disk, ext_off), 0, sizeof(struct le64));
}
