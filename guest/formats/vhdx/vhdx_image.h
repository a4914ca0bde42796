/* SPDX-License-Identifier: Apache-2.0 */
/* An open VHDX. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_IMAGE_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_IMAGE_H

#include "guest/formats/vhdx/vhdx_header.h"
#include "guest/formats/vhdx/vhdx_metadata.h"
#include "guest/formats/vhdx/vhdx_patches.h"
#include "guest/formats/vhdx/vhdx_region.h"
#include "guest/image/image.h"
#include "guest/image/tables/block_table.h"

/* States of payload blocks (2.5.1.1). Those of sector bitmaps (2.5.1.2) are NOT_PRESENT and PRESENT only. */
enum vhdx_block_state {
    VHDX_NOT_PRESENT = 0, /* what the parent has */
    VHDX_UNDEFINED = 1,
    VHDX_ZERO = 2,
    VHDX_UNMAPPED = 3,
    VHDX_UNMAPPED_OLD = 5, /* of version 0.95 of the specification, as QEMU knows it */
    VHDX_PRESENT = 6,
    VHDX_PARTIALLY_PRESENT = 7, /* a bitmap says which sectors */
};

#define VHDX_STATE_MASK 7u
/* Sectors that a bitmap block of 1 MiB has bits for (2.5.1): those of a chunk. */
#define VHDX_CHUNK_SECTORS (1ull << 23)
#define VHDX_OFF_MASK (~(VHDX_MIB - 1))

struct vhdx {
    struct file_overlay overlay; /* first */
    struct vhdx_header header;
    struct vhdx_regions regions;
    struct vhdx_metadata metadata;
    struct block_table table; /* of the whole region */
    uint64_t entry_count;     /* of the table, that are the disk's: payload blocks, and bitmaps among them */
    uint64_t chunk_blocks; /* payload blocks whose sectors one bitmap block has: behind as many entries comes its own */
    bool needs_replay;     /* the log has entries that are not in the file yet: `patches` */
    struct vhdx_patches patches;
};

static inline struct vhdx *vhdx_of(const struct image *image)
{
    return image->state;
}

static inline struct vhdx_region vhdx_log_region(const struct vhdx_header *header)
{
    return (struct vhdx_region){header->log_off, header->log_len};
}

/* The entry of payload block `block`. */
static inline uint64_t vhdx_entry_index(const struct vhdx *vhdx, uint64_t block)
{
    return block + block / vhdx->chunk_blocks;
}

/* Of the bitmap that has the sectors of `block`. */
static inline uint64_t vhdx_bitmap_index(const struct vhdx *vhdx, uint64_t block)
{
    return (block / vhdx->chunk_blocks + 1) * (vhdx->chunk_blocks + 1) - 1;
}

static inline uint64_t vhdx_block_count(const struct vhdx *vhdx)
{
    return (vhdx->metadata.virtual_len + vhdx->metadata.block_len - 1) / vhdx->metadata.block_len;
}

/* An entry of the table that says where a block, or a bitmap, is in the file. */
struct vhdx_place {
    uint64_t index;
    uint64_t off;        /* bytes, as it stands there */
    uint64_t len;        /* bytes */
    uint64_t needed_len; /* bytes of it that the file has to have: of the last block, up to the disk's end */
};

/* vhdx_map.c: the first one from entry *index on, which goes on behind it; *ret_is_end: there is none any more. */
MUST_CHECK bool vhdx_next_place(struct image *image, uint64_t *index, bool *ret_is_end, struct vhdx_place *ret_place,
                                struct error *error);

/* The region table's copy with this number, and whether that is one: of the file as it is, but for the log. */
MUST_CHECK bool vhdx_view_regions(struct image *image, uint32_t number, struct span *ret_bytes, bool *ret_is_sound,
                                  struct error *error);

/*
 * A block's place: not within headers, log and regions, also those of others. What is wrong is in the words of a
 * sentence that begins with the block; NULL: nothing.
 */
const char *vhdx_place_fault(const struct vhdx *vhdx, uint64_t off, uint64_t len);

/* Bytes that the file has, or will have when its log is replayed, which may make it longer (2.3.1.1). */
uint64_t vhdx_file_len(const struct image *image);

/* vhdx_parent.c: the parent's name into image->backing_name, as far as the image has one that can be followed. */
MUST_CHECK bool vhdx_parent_read(struct image *image, struct error *error);
/* format.accepts_backing */
bool vhdx_accepts_backing(const struct image *image);

/*
 * The locator of a new child: `parent` by its content, and by its name as the user has written it. At most
 * VHDX_NEW_LOCATOR_LEN_MAX bytes. False when the name is not UTF-8.
 */
#define VHDX_NEW_LOCATOR_LEN_MAX 4096u
MUST_CHECK bool vhdx_locator_emit(const struct image *parent, const struct file_name *name, uint8_t *ret_bytes,
                                  uint32_t *ret_len);

/* vhdx_modify.c: format.open_target */
MUST_CHECK bool vhdx_open_target(struct image *image, struct target **ret_target, struct error *error);
/* vhdx_resize.c: format.resize */
MUST_CHECK bool vhdx_resize(struct image *image, const struct resize_plan *plan, struct error *error);
/* vhdx_replay.c: format.repair */
MUST_CHECK bool vhdx_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                            struct error *error);

/* A data sector, as it is in the log, becomes what it is in the file. */
void vhdx_patch_restore(const struct vhdx_patch *patch, uint8_t sector[VHDX_LOG_SECTOR_LEN]);

/* format.create */
MUST_CHECK bool vhdx_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* vhdx_map.c */
MUST_CHECK bool vhdx_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent,
                         struct error *error);
/* format.table_at: there is one table only, so a block stands for one; the log lies over files, not over disks. */
MUST_CHECK bool vhdx_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch,
                              struct error *error);
/* A sector of the log, made whole: format.decompress. */
MUST_CHECK bool vhdx_restore(const struct image *image, const struct extent *extent, struct span stream,
                             uint8_t *target, void *scratch, struct error *error);
/* file_overlay.apply */
MUST_CHECK bool vhdx_apply_patches(const struct file_overlay *overlay, struct file *file, uint64_t off, uint8_t *bytes,
                                   size_t len, struct error *error);

/* format.check */
MUST_CHECK bool vhdx_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result,
                           struct error *error);

#endif
