/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent bitmaps (qcow2.txt, "Bitmaps"): the directory, and whether tables can be what it says. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_BITMAPS_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_BITMAPS_H

#include "base/endian.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

/* QEMU's limits. */
#define QCOW2_BITMAP_NAME_LEN_MAX 1023u
#define QCOW2_BITMAP_GRANULARITY_BITS_MIN 9u
#define QCOW2_BITMAP_GRANULARITY_BITS_MAX 31u
#define QCOW2_BITMAP_LEN_MAX (512ull << 20)

#define QCOW2_BITMAP_IN_USE (1u << 0)
#define QCOW2_BITMAP_AUTO (1u << 1)
#define QCOW2_BITMAP_RESERVED_FLAGS 0xfffffffcu

/* Entries of a bitmap's table. */
#define QCOW2_BITMAP_ENTRY_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_BITMAP_ENTRY_RESERVED_MASK 0xff000000000001feull
#define QCOW2_BITMAP_ENTRY_ALL_ONES 1ull

/* Type of a bitmap. */
#define QCOW2_BITMAP_DIRTY_TRACKING 1u

struct qcow2_bitmap_disk {
    struct be64 table_offset;
    struct be32 table_size;
    struct be32 flags;
    uint8_t type;
    uint8_t granularity_bits;
    struct be16 name_size;
    struct be32 extra_data_size;
};

_Static_assert(sizeof(struct qcow2_bitmap_disk) == 24, "section Bitmap directory");

struct qcow2_bitmap {
    uint64_t table_off;         /* bytes in the file, a multiple of the cluster's length, not 0 */
    uint32_t table_entry_count; /* not 0 */
    uint32_t flags;             /* QCOW2_BITMAP_* */
    uint32_t granularity_bits;
    uint16_t name_len;
    uint8_t name[QCOW2_BITMAP_NAME_LEN_MAX];
};

/* How many bits the bitmap of such a disk has, and clusters its data. Bits are stored in words of 64. */
uint64_t qcow2_bitmap_bit_count(uint64_t virtual_len, uint32_t granularity_bits);
uint64_t qcow2_bitmap_entry_count(uint64_t virtual_len, uint32_t granularity_bits, uint32_t cluster_len);

/* Whether the bitmap has as many clusters as the disk asks for. Of one that is in use, nobody knows how long the disk
 * was. */
bool qcow2_bitmap_is_of_disk(const struct image *image, const struct qcow2_bitmap *bitmap);

/* In an entry of the directory: what is about the table, and flags. */
#define QCOW2_BITMAP_FLAGS_POS 12u

/* A way through the directory. */
struct qcow2_bitmap_walk {
    uint32_t index; /* of the next entry */
    uint64_t pos;   /* bytes from the directory's start */
};

/*
 * Reads the next bitmap, checked as in QEMU. *ret_is_end: there is none any more. Begins with a walk of zeros; there
 * are bitmaps (extensions.bitmap_count).
 */
MUST_CHECK bool qcow2_bitmap_next(struct image *image, struct qcow2_bitmap_walk *walk, bool *ret_is_end,
                                  struct qcow2_bitmap *ret_bitmap, struct error *error);

/* Whether an entry of a bitmap's table can be one. */
bool qcow2_bitmap_entry_is_valid(const struct qcow2_header *header, uint64_t entry);

/* Reads the directory, and as much of the tables as is quickly read, to see whether they are as they should be. */
MUST_CHECK bool qcow2_bitmaps_check(struct image *image, struct error *error);

/* Sends the list of info, if there are bitmaps. */
MUST_CHECK bool qcow2_bitmaps_describe(struct image *image, struct error *error);

/* format.bitmap_next, format.bitmap_read */
bool qcow2_image_bitmap_next(struct image *image, struct image_bitmap_walk *walk, bool *ret_is_end,
                             struct image_bitmap *ret_bitmap, struct error *error);
bool qcow2_image_bitmap_read(struct image *image, const struct image_bitmap *bitmap, uint64_t off, uint8_t *target,
                             uint32_t len, struct error *error);

#endif
