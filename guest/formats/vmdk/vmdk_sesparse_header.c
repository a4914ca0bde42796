/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_sesparse_header.h"

#include "base/attributes.h"
#include "base/endian.h"
#include "base/zeros.h"

#define CONSTANT_MAGIC 0x00000000cafebabeull
#define VOLATILE_MAGIC 0x00000000cafecafeull
#define VERSION 0x0000000200000001ull
#define GRAIN_SECTORS 8u
#define TABLE_SECTORS 64u
#define ENTRY_LEN 8u
#define ENTRIES_PER_SECTOR (VMDK_SECTOR_LEN / ENTRY_LEN)

/* The topmost four bits of an entry tell what it is. */
#define TAG_MASK 0xf000000000000000ull
#define TAG_UNMAPPED 0x1000000000000000ull
#define TAG_ZERO 0x2000000000000000ull
#define TAG_STORED 0x3000000000000000ull

struct constant_header_disk {
    struct le64 magic;
    struct le64 version;
    struct le64 capacity;
    struct le64 grain_size;
    struct le64 grain_table_size;
    struct le64 flags;
    struct le64 reserved[4];
    struct le64 volatile_header_offset;
    struct le64 volatile_header_size;
    struct le64 journal_header_offset;
    struct le64 journal_header_size;
    struct le64 journal_offset;
    struct le64 journal_size;
    struct le64 grain_directory_offset;
    struct le64 grain_directory_size;
    struct le64 grain_tables_offset;
    struct le64 grain_tables_size;
    struct le64 free_bitmap_offset;
    struct le64 free_bitmap_size;
    struct le64 backmap_offset;
    struct le64 backmap_size;
    struct le64 grains_offset;
    struct le64 grains_size;
    uint8_t padding[304];
};

_Static_assert(sizeof(struct constant_header_disk) == VMDK_SESPARSE_HEADER_LEN, "it fills a sector");

struct volatile_header_disk {
    struct le64 magic;
    struct le64 free_table_number;
    struct le64 next_transaction;
    struct le64 replay_journal;
    uint8_t padding[480];
};

_Static_assert(sizeof(struct volatile_header_disk) == VMDK_SESPARSE_HEADER_LEN, "it fills a sector");

static bool unsupported(const char *what, uint64_t value, struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported %s: %#llx", what, (unsigned long long)value);
}

/* Fields that have one value that is known. */
static bool constant_check(const struct constant_header_disk *disk, struct error *error)
{
    if (le64_get(disk->magic) != CONSTANT_MAGIC) {
        return error_set(error, ERROR_MALFORMED, NULL, "Bad const header magic: 0x%016llx",
                         (unsigned long long)le64_get(disk->magic));
    }
    const struct {
        const char *what;
        uint64_t value, known;
    } fields[] = {
        {"version", le64_get(disk->version), VERSION},
        {"grain size", le64_get(disk->grain_size), GRAIN_SECTORS},
        {"grain table size", le64_get(disk->grain_table_size), TABLE_SECTORS},
        {"flags", le64_get(disk->flags), 0},
        {"reserved bits", le64_get(disk->reserved[0]), 0},
        {"reserved bits", le64_get(disk->reserved[1]), 0},
        {"reserved bits", le64_get(disk->reserved[2]), 0},
        {"reserved bits", le64_get(disk->reserved[3]), 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        if (fields[i].value != fields[i].known) {
            return unsupported(fields[i].what, fields[i].value, error);
        }
    }
    return bytes_are_zero((struct span){disk->padding, sizeof(disk->padding)}) ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported non-zero const header padding");
}

/* Sector 0 has this header. QEMU takes a grain there for one that is not allocated. */
static bool place_set(uint64_t sector, const char *what, uint64_t *ret_off, struct error *error)
{
    return (sector != 0 && vmdk_sectors_len(sector, ret_off)) ||
           error_set(error, ERROR_MALFORMED, NULL, "the %s at sector %llu cannot be there", what,
                     (unsigned long long)sector);
}

bool vmdk_sesparse_header_parse(struct span bytes, struct vmdk_tables *ret_tables, uint64_t *ret_volatile_off,
                                struct error *error)
{
    struct constant_header_disk disk;
    struct vmdk_tables tables = {.is_sesparse = true};
    uint64_t volatile_off;
    uint64_t directory_sectors;
    if (!span_copy(bytes, 0, &disk, sizeof(disk))) {
        return error_set(error, ERROR_MALFORMED, NULL, "the header is cut short");
    }
    RETURN_IF_FAILED(constant_check(&disk, error));
    RETURN_IF_FAILED(place_set(le64_get(disk.volatile_header_offset), "volatile header", &volatile_off, error));
    RETURN_IF_FAILED(place_set(le64_get(disk.grain_tables_offset), "grain tables", &tables.tables_off, error));
    RETURN_IF_FAILED(place_set(le64_get(disk.grains_offset), "grains", &tables.grains_off, error));
    directory_sectors = le64_get(disk.grain_directory_size);
    if (directory_sectors > VMDK_DIRECTORY_COUNT_MAX / ENTRIES_PER_SECTOR) {
        return error_set(error, ERROR_MALFORMED, NULL, "L1 size too big");
    }
    struct vmdk_shape shape = {
        .capacity_sectors = le64_get(disk.capacity),
        .grain_sectors = GRAIN_SECTORS,
        .table_count = TABLE_SECTORS * ENTRIES_PER_SECTOR,
        .directory_sector = le64_get(disk.grain_directory_offset),
        .directory_count = directory_sectors * ENTRIES_PER_SECTOR,
    };
    RETURN_IF_FAILED(vmdk_tables_set(&tables, &shape, error));
    *ret_tables = tables;
    *ret_volatile_off = volatile_off;
    return true;
}

bool vmdk_sesparse_volatile_check(struct span bytes, struct error *error)
{
    struct volatile_header_disk disk;
    if (!span_copy(bytes, 0, &disk, sizeof(disk)) || le64_get(disk.magic) != VOLATILE_MAGIC) {
        return error_set(error, ERROR_MALFORMED, NULL, "Bad volatile header magic");
    }
    if (le64_get(disk.replay_journal) != 0) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Image is dirty, Replaying journal not supported");
    }
    return bytes_are_zero((struct span){disk.padding, sizeof(disk.padding)}) ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "Unsupported non-zero volatile header padding");
}

enum vmdk_sesparse_entry vmdk_sesparse_directory_entry(uint64_t entry, uint64_t *ret_index)
{
    if (entry == 0) {
        return VMDK_SESPARSE_UNALLOCATED;
    }
    /* No disk has more tables than 32 bits count. */
    if (entry >> 32 != TAG_UNMAPPED >> 32) {
        return VMDK_SESPARSE_INVALID;
    }
    *ret_index = (uint32_t)entry;
    return VMDK_SESPARSE_STORED;
}

enum vmdk_sesparse_entry vmdk_sesparse_table_entry(uint64_t entry, uint64_t *ret_index)
{
    switch (entry & TAG_MASK) {
    case 0:
        return entry == 0 ? VMDK_SESPARSE_UNALLOCATED : VMDK_SESPARSE_INVALID;
    case TAG_UNMAPPED:
    case TAG_ZERO:
        return VMDK_SESPARSE_ZERO;
    case TAG_STORED:
        /* The lowest 12 bits of the number stand above the others. */
        *ret_index = (entry & 0x0fff000000000000ull) >> 48 | (entry & 0x0000ffffffffffffull) << 12;
        return VMDK_SESPARSE_STORED;
    default:
        return VMDK_SESPARSE_INVALID;
    }
}
