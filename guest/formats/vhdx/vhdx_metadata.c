/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx_metadata.h"

#include "base/checked.h"
#include "guest/image/format_open.h"

#define ENTRIES_MAX 2047u /* 2.6.1.1 */
#define ENTRY_REQUIRED 4u
#define ENTRY_IS_VIRTUAL_DISK 2u /* of the disk, not of the file */
#define PARAMETER_LEAVES_BLOCKS 1u
#define PARAMETER_HAS_PARENT 2u

static const char signature[8] = {'m', 'e', 't', 'a', 'd', 'a', 't', 'a'};

enum item {
    ITEM_PARAMETERS,
    ITEM_DISK_LEN,
    ITEM_DISK_ID,
    ITEM_LOGICAL_SECTOR,
    ITEM_PHYSICAL_SECTOR,
    ITEM_LOCATOR,
    ITEM_COUNT,
};

/* Names, identifiers and lengths of 2.6.2; a locator has any length. */
static const struct item_type {
    const char *name;
    uint32_t len;
    struct vhdx_guid id;
} item_types[ITEM_COUNT] = {
    [ITEM_PARAMETERS] = {"file parameters",
                         8,
                         {{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7,
                           0x6b}}},
    [ITEM_DISK_LEN] = {"virtual disk size",
                       8,
                       {{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4,
                         0xb8}}},
    [ITEM_DISK_ID] = {"virtual disk identifier",
                      16,
                      {{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7,
                        0x46}}},
    [ITEM_LOGICAL_SECTOR] = {"logical sector size",
                             4,
                             {{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab,
                               0x5f}}},
    [ITEM_PHYSICAL_SECTOR] = {"physical sector size",
                              4,
                              {{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51,
                                0xc5, 0x56}}},
    [ITEM_LOCATOR] = {"parent locator",
                      0,
                      {{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab,
                        0x0c}}},
};

struct table_disk {
    char signature[8];
    struct le16 reserved1;
    struct le16 entry_count;
    uint8_t reserved2[20];
};
_Static_assert(sizeof(struct table_disk) == 32, "entries begin behind 32 bytes");

struct entry_disk {
    struct vhdx_guid id;
    struct le32 off; /* from the region's start */
    struct le32 len;
    struct le32 flags;
    struct le32 reserved;
};

static bool item_find(const struct vhdx_guid *id, enum item *ret_item)
{
    for (enum item item = 0; item < ITEM_COUNT; item++) {
        if (vhdx_guid_equal(id, &item_types[item].id)) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

/* Where an item is in the file, if it is one of ours. */
static bool entry_take(const struct entry_disk *disk, struct vhdx_region region, struct vhdx_region *places,
                       struct error *error)
{
    enum item item;
    if (!item_find(&disk->id, &item)) {
        return (le32_get(disk->flags) & ENTRY_REQUIRED) == 0 ||
               error_set(error, ERROR_UNSUPPORTED, NULL, "metadata: a required item that is not known");
    }
    const struct item_type *type = &item_types[item];
    if (places[item].off != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: the %s is there twice", type->name);
    }
    uint32_t off = le32_get(disk->off);
    uint32_t len = le32_get(disk->len);
    if (off < VHDX_METADATA_TABLE_LEN || !range_is_within(off, len, region.len) ||
        (type->len != 0 && len < type->len)) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: the %s has %u bytes at offset 0x%x", type->name, len,
                         off);
    }
    places[item] = (struct vhdx_region){region.off + off, len};
    return true;
}

static bool table_read(struct image *image, struct vhdx_region region, struct vhdx_region *places, struct error *error)
{
    struct table_disk disk;
    RETURN_IF_FAILED(format_open_read(image, region.off, &disk, sizeof(disk), error));
    if (memcmp(disk.signature, signature, sizeof(signature)) != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: no signature");
    }
    uint32_t count = le16_get(disk.entry_count);
    if (count > ENTRIES_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: %u items", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct entry_disk entry;
        RETURN_IF_FAILED(format_open_read(image, region.off + sizeof(disk) + (uint64_t)i * sizeof(entry), &entry,
                                          sizeof(entry), error));
        RETURN_IF_FAILED(entry_take(&entry, region, places, error));
    }
    for (enum item item = 0; item < ITEM_LOCATOR; item++) {
        if (places[item].off == 0) {
            return error_set(error, ERROR_MALFORMED, NULL, "metadata: no %s", item_types[item].name);
        }
    }
    return true;
}

static bool metadata_check(const struct vhdx_metadata *metadata, struct error *error)
{
    if (!is_power_of_two(metadata->block_len) || metadata->block_len < VHDX_BLOCK_LEN_MIN ||
        metadata->block_len > VHDX_BLOCK_LEN_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: blocks of %u bytes", metadata->block_len);
    }
    if (metadata->sector_len != 512 && metadata->sector_len != 4096) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: sectors of %u bytes", metadata->sector_len);
    }
    if (metadata->virtual_len > VHDX_DISK_LEN_MAX || metadata->virtual_len % metadata->sector_len != 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: a disk of %llu bytes",
                         (unsigned long long)metadata->virtual_len);
    }
    if (metadata->has_parent && metadata->locator.len == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: a parent without a locator");
    }
    return true;
}

bool vhdx_metadata_read(struct image *image, struct vhdx_region region, struct vhdx_metadata *ret_metadata,
                        struct error *error)
{
    struct vhdx_region places[ITEM_COUNT] = {{0}};
    struct {
        struct le32 block_len;
        struct le32 flags;
    } parameters;
    struct le64 disk_len;
    struct le32 sector_len, physical_len;
    RETURN_IF_FAILED(table_read(image, region, places, error));
    RETURN_IF_FAILED(
        format_open_read(image, places[ITEM_PARAMETERS].off, &parameters, sizeof(parameters), error) &&
        format_open_read(image, places[ITEM_DISK_LEN].off, &disk_len, sizeof(disk_len), error) &&
        format_open_read(image, places[ITEM_LOGICAL_SECTOR].off, &sector_len, sizeof(sector_len), error) &&
        format_open_read(image, places[ITEM_PHYSICAL_SECTOR].off, &physical_len, sizeof(physical_len), error));
    if (le32_get(physical_len) != 512 && le32_get(physical_len) != 4096) {
        return error_set(error, ERROR_MALFORMED, NULL, "metadata: physical sectors of %u bytes",
                         le32_get(physical_len));
    }
    struct vhdx_metadata metadata = {
        .virtual_len = le64_get(disk_len),
        .block_len = le32_get(parameters.block_len),
        .sector_len = le32_get(sector_len),
        .has_parent = (le32_get(parameters.flags) & PARAMETER_HAS_PARENT) != 0,
        .virtual_len_off = places[ITEM_DISK_LEN].off,
        .locator = places[ITEM_LOCATOR],
    };
    RETURN_IF_FAILED(metadata_check(&metadata, error));
    *ret_metadata = metadata;
    return true;
}

/* An item of a new file, `*next_off` bytes behind the first one; a locator is as long as the caller says. */
static struct entry_disk entry_make(enum item item, uint32_t len, uint32_t *next_off)
{
    bool is_of_file = item == ITEM_PARAMETERS || item == ITEM_LOCATOR;
    uint32_t off = *next_off;
    *next_off += len;
    return (struct entry_disk){
        .id = item_types[item].id,
        .off = le32_make(VHDX_METADATA_TABLE_LEN + off),
        .len = le32_make(len),
        .flags = le32_make(ENTRY_REQUIRED | (is_of_file ? 0 : ENTRY_IS_VIRTUAL_DISK)),
    };
}

void vhdx_metadata_emit(const struct vhdx_new_metadata *new, uint8_t *ret_table, uint8_t *ret_items)
{
    const struct vhdx_metadata *metadata = &new->metadata;
    struct {
        struct table_disk head;
        struct entry_disk entries[ITEM_COUNT];
    } table = {.head.signature = {0}};
    struct {
        struct le32 block_len;
        struct le32 flags;
        struct le64 disk_len;
        struct vhdx_guid disk_id;
        struct le32 sector_len;
        struct le32 physical_len;
    } items = {
        .block_len = le32_make(metadata->block_len),
        .flags = le32_make((new->is_fixed ? PARAMETER_LEAVES_BLOCKS : 0) |
                           (metadata->has_parent ? PARAMETER_HAS_PARENT : 0)),
        .disk_len = le64_make(metadata->virtual_len),
        .disk_id = new->disk_id,
        .sector_len = le32_make(metadata->sector_len),
        .physical_len = le32_make(metadata->sector_len),
    };
    _Static_assert(sizeof(items) == VHDX_LOCATOR_OFF, "a locator stands behind the other items");
    _Static_assert(sizeof(table) <= VHDX_METADATA_HEAD_LEN, "the start of the table");
    uint32_t count = metadata->has_parent ? ITEM_COUNT : ITEM_LOCATOR;
    uint32_t next_off = 0;
    for (uint32_t item = 0; item < count; item++) {
        uint32_t len = item == ITEM_LOCATOR ? (uint32_t)metadata->locator.len : item_types[item].len;
        table.entries[item] = entry_make((enum item)item, len, &next_off);
    }
    memcpy(table.head.signature, signature, sizeof(signature));
    table.head.entry_count.b[0] = (uint8_t)count;
    memcpy(ret_table, &table, sizeof(table));
    memcpy(ret_items, &items, sizeof(items));
}
