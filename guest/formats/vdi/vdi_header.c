/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vdi/vdi_header.h"

#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/image/uuid.h"

/* What QEMU says: readers go by the signature. */
#define CREATOR_TEXT "<<< QEMU VM Virtual Disk Image >>>\n"
/* Bytes of the header that count, from this field on. */
#define HEADER_SIZE 0x180u
#define SIGNATURE 0xbeda107fu
#define VERSION_1_1 0x00010001u

struct vdi_header_disk {
    uint8_t text[64];
    struct le32 signature;
    struct le32 version;
    struct le32 header_size;
    struct le32 image_type;
    struct le32 image_flags;
    uint8_t description[256];
    struct le32 offset_bmap;
    struct le32 offset_data;
    struct le32 cylinders;
    struct le32 heads;
    struct le32 sectors;
    struct le32 sector_size;
    struct le32 unused1;
    struct le64 disk_size;
    struct le32 block_size;
    struct le32 block_extra;
    struct le32 blocks_in_image;
    struct le32 blocks_allocated;
    uint8_t uuid_image[UUID_LEN];
    uint8_t uuid_last_snap[UUID_LEN];
    uint8_t uuid_link[UUID_LEN];
    uint8_t uuid_parent[UUID_LEN];
    uint8_t unused2[56];
};

_Static_assert(sizeof(struct vdi_header_disk) == VDI_HEADER_LEN, "the header is a sector");

static bool is_null(const uint8_t uuid[UUID_LEN])
{
    static const uint8_t zeros[UUID_LEN];
    return memcmp(uuid, zeros, UUID_LEN) == 0;
}

static bool check_places(const struct vdi_header_disk *disk, struct error *error)
{
    uint32_t map_off = le32_get(disk->offset_bmap);
    uint32_t data_off = le32_get(disk->offset_data);
    uint32_t sector_len = le32_get(disk->sector_size);
    uint32_t block_len = le32_get(disk->block_size);
    if (map_off % VDI_SECTOR_LEN != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (unaligned block map offset 0x%x)",
                         map_off);
    }
    if (data_off % VDI_SECTOR_LEN != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (unaligned data offset 0x%x)",
                         data_off);
    }
    if (sector_len != VDI_SECTOR_LEN) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (sector size %u is not %u)", sector_len,
                         VDI_SECTOR_LEN);
    }
    if (block_len != VDI_BLOCK_LEN) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (block size %u is not %u)", block_len,
                         VDI_BLOCK_LEN);
    }
    return true;
}

static bool check_disk(const struct vdi_header_disk *disk, const struct vdi_header *header, struct error *error)
{
    uint64_t room_len = (uint64_t)header->block_count * VDI_BLOCK_LEN;
    if (header->disk_len > room_len) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "unsupported VDI image (disk size %llu, image bitmap has room for %llu)",
                         (unsigned long long)header->disk_len, (unsigned long long)room_len);
    }
    if (!is_null(disk->uuid_link)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (non-NULL link UUID)");
    }
    if (!is_null(disk->uuid_parent)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (non-NULL parent UUID)");
    }
    if (header->block_count > VDI_BLOCK_COUNT_MAX) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (too many blocks %u, max is %u)",
                         header->block_count, VDI_BLOCK_COUNT_MAX);
    }
    return true;
}

bool vdi_check_len(uint64_t disk_len, struct error *error)
{
    return disk_len <= VDI_DISK_LEN_MAX ||
           error_set(error, ERROR_UNSUPPORTED, NULL,
                     "Unsupported VDI image size (size is 0x%llx, max supported is 0x%llx)",
                     (unsigned long long)disk_len, (unsigned long long)VDI_DISK_LEN_MAX);
}

bool vdi_header_parse(struct span head, struct vdi_header *ret_header, struct error *error)
{
    struct vdi_header_disk disk;
    if (!span_copy(head, 0, &disk, sizeof(disk))) {
        return error_set(error, ERROR_GUEST, NULL, "a header of %zu bytes", head.len);
    }
    uint64_t disk_len = le64_get(disk.disk_size);
    uint32_t version = le32_get(disk.version);
    RETURN_IF_FAILED(vdi_check_len(disk_len, error));
    if (le32_get(disk.signature) != SIGNATURE) {
        return error_set(error, ERROR_MALFORMED, NULL, "Image not in VDI format (bad signature %08x)",
                         le32_get(disk.signature));
    }
    if (version != VERSION_1_1) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "unsupported VDI image (version %u.%u)", version >> 16,
                         version & 0xffff);
    }
    struct vdi_header header = {
        .type = le32_get(disk.image_type),
        .map_off = le32_get(disk.offset_bmap),
        .data_off = le32_get(disk.offset_data),
        .block_count = le32_get(disk.blocks_in_image),
        .allocated_count = le32_get(disk.blocks_allocated),
        .disk_len = round_up(disk_len, VDI_SECTOR_LEN), /* some tools make odd ones */
    };
    RETURN_IF_FAILED(check_places(&disk, error));
    RETURN_IF_FAILED(check_disk(&disk, &header, error));
    *ret_header = header;
    return true;
}

void vdi_header_emit(const struct vdi_header *header, const uint8_t random[2 * UUID_LEN], uint8_t *ret_head)
{
    struct vdi_header_disk disk = {
        .text = CREATOR_TEXT,
        .signature = le32_make(SIGNATURE),
        .version = le32_make(VERSION_1_1),
        .header_size = le32_make(HEADER_SIZE),
        .image_type = le32_make(header->type),
        .offset_bmap = le32_make(header->map_off),
        .offset_data = le32_make(header->data_off),
        .sector_size = le32_make(VDI_SECTOR_LEN),
        .disk_size = le64_make(header->disk_len),
        .block_size = le32_make(VDI_BLOCK_LEN),
        .blocks_in_image = le32_make(header->block_count),
        .blocks_allocated = le32_make(header->allocated_count),
    };
    uuid_make(random, UUID_LITTLE_ENDIAN, disk.uuid_image);
    uuid_make(random + UUID_LEN, UUID_LITTLE_ENDIAN, disk.uuid_last_snap);
    memcpy(ret_head, &disk, sizeof(disk));
}

void vdi_header_set_allocated(uint8_t *head, uint32_t count)
{
    struct le32 word = le32_make(count);
    memcpy(head + offsetof(struct vdi_header_disk, blocks_allocated), &word, sizeof(word));
}
