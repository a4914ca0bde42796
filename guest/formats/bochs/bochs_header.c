/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/bochs/bochs_header.h"

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/probe.h"

#define VERSION_1 0x00010000u
#define VERSION_2 0x00020000u
/* As in QEMU: what the longest image that bximage makes needs, some 8 TB. */
#define CATALOG_COUNT_MAX 0x100000u
#define EXTENT_LEN_MAX 0x800000u
#define ENTRY_LEN 4u

struct bochs_header_disk {
    uint8_t magic[32];
    uint8_t type[16];
    uint8_t subtype[16];
    struct le32 version;
    struct le32 header;
    struct le32 catalog;
    struct le32 bitmap;
    struct le32 extent;
    struct le32 reserved; /* version 1 has the disk's length here already */
    struct le64 disk;
};

bool bochs_header_probe(struct span head)
{
    bool has_names = PROBE_HAS_TEXT(head, 0, "Bochs Virtual HD Image\0") && PROBE_HAS_TEXT(head, 32, "Redolog\0") &&
                     PROBE_HAS_TEXT(head, 48, "Growing\0");
    return has_names && (PROBE_HAS_TEXT(head, 64, "\0\0\2\0") || PROBE_HAS_TEXT(head, 64, "\0\0\1\0"));
}

/* Sectors that `len` bytes take in the file; of 0 bytes, as in QEMU, 2^23. */
static uint64_t sector_count(uint32_t len)
{
    return 1 + (uint64_t)((uint32_t)(len - 1) / BOCHS_SECTOR_LEN);
}

static bool check_extents(const struct bochs_header *header, struct error *error)
{
    if (header->extent_len < BOCHS_SECTOR_LEN) {
        return error_set(error, ERROR_MALFORMED, NULL, "Extent size must be at least 512");
    }
    if (!is_power_of_two(header->extent_len)) {
        return error_set(error, ERROR_MALFORMED, NULL, "Extent size %u is not a power of two", header->extent_len);
    }
    if (header->extent_len > EXTENT_LEN_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Extent size %u is too large", header->extent_len);
    }
    uint64_t extent_count = divide_up(header->disk_len, header->extent_len);
    if (header->catalog_count < extent_count) {
        return error_set(error, ERROR_MALFORMED, NULL, "Catalog size is too small for this disk size");
    }
    return true;
}

bool bochs_header_parse(struct span head, struct bochs_header *ret_header, struct error *error)
{
    struct bochs_header_disk disk;
    struct le64 disk_1;
    if (!bochs_header_probe(head) || !span_copy(head, 0, &disk, sizeof(disk)) ||
        !span_copy(head, offsetof(struct bochs_header_disk, reserved), &disk_1, sizeof(disk_1))) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in Bochs format");
    }
    uint64_t disk_len = le64_get(le32_get(disk.version) == VERSION_1 ? disk_1 : disk.disk);
    struct bochs_header header = {
        .catalog_off = le32_get(disk.header),
        .catalog_count = le32_get(disk.catalog),
        .bitmap_len = sector_count(le32_get(disk.bitmap)) * BOCHS_SECTOR_LEN,
        .extent_len = le32_get(disk.extent),
        .disk_len = round_down(disk_len, BOCHS_SECTOR_LEN),
    };
    if (header.catalog_count > CATALOG_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Catalog size is too large");
    }
    header.data_off = header.catalog_off + (uint64_t)header.catalog_count * ENTRY_LEN;
    if (header.data_off > UINT32_MAX) { /* where QEMU's sum wraps */
        return error_set(error, ERROR_MALFORMED, NULL, "The catalog at 0x%x has an impossible end",
                         le32_get(disk.header));
    }
    RETURN_IF_FAILED(check_extents(&header, error));
    *ret_header = header;
    return true;
}
