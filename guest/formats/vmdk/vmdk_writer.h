/* SPDX-License-Identifier: Apache-2.0 */
/* The writers of new sparse extents. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_WRITER_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/formats/vmdk/vmdk_tables.h"
#include "guest/image/write/block_writer.h"
#include "guest/image/write/target.h"

/* As in QEMU, and in everything that VMware's programs make. */
#define VMDK_NEW_GRAIN_SECTORS 128u
#define VMDK_NEW_GRAIN_LEN 65536u
_Static_assert(VMDK_NEW_GRAIN_LEN == VMDK_NEW_GRAIN_SECTORS * VMDK_SECTOR_LEN, "the same in bytes");
#define VMDK_NEW_TABLE_COUNT 512u
#define VMDK_NEW_TABLE_SECTORS 4u

/* Grain table entries are sectors, of 32 bits; 1 stands for zeros. */
#define VMDK_ENTRY_ZEROED 1u

/* What a file has of a disk in several, as in QEMU, and how many there are at most. */
#define VMDK_SPLIT_LEN (2ull << 30)
#define VMDK_SPLIT_COUNT_MAX 2048u
static inline uint64_t vmdk_split_count(uint64_t virtual_len)
{
    return virtual_len / VMDK_SPLIT_LEN + (virtual_len % VMDK_SPLIT_LEN != 0);
}
/* Bytes of the disk that are in part `part`, of which there is something. */
static inline uint64_t vmdk_split_part_len(uint64_t virtual_len, uint32_t part)
{
    uint64_t left = virtual_len - part * VMDK_SPLIT_LEN;
    return left < VMDK_SPLIT_LEN ? left : VMDK_SPLIT_LEN;
}

/* How many grain tables a disk has. False when that is more than a directory can have. */
MUST_CHECK bool vmdk_new_table_count(uint64_t virtual_len, uint64_t *ret_count, struct error *error);

/* The entry for a grain or a table at `off`; false when that is farther than entries reach. */
MUST_CHECK bool vmdk_new_entry(const struct target *target, uint64_t off, uint32_t *ret_entry, struct error *error);

struct vmdk_writer_setup {
    const struct target_setup *target;
    struct span descriptor; /* its text; VMDK_DESCRIPTOR_SECTORS at most where it is within an extent */
    bool has_zeroed_grains;
};

/* Writes the descriptor of a file that has one, at its place, with zeros up to the end of a sector. */
MUST_CHECK bool vmdk_put_descriptor(struct block_writer *blocks, struct span descriptor, struct error *error);

/*
 * A hosted sparse extent, as QEMU lays it out: header, descriptor, redundant directory and tables, directory and
 * tables, grains.
 */
MUST_CHECK bool vmdk_sparse_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target,
                                        struct error *error);

/*
 * A stream-optimized extent: header, descriptor, compressed grains behind markers, after those of each grain table the
 * table, at the end the directory and a footer ("Virtual Disk Format 5.0", Stream-Optimized Compressed Sparse Extents).
 * QEMU has its directory in front, and no footer, which ESX does not import.
 */
MUST_CHECK bool vmdk_stream_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target,
                                        struct error *error);

/*
 * The same for an image that exists, is one such extent, and has no grain yet: its disk comes front to back, in whole
 * grains, or it is refused in QEMU's words. Nothing is written before the first one. `descriptor` is arena memory.
 */
MUST_CHECK bool vmdk_stream_refill_make(const struct image *image, struct span descriptor, bool has_zeroed_grains,
                                        struct target **ret_target, struct error *error);

/* A file for the descriptor, and another one for a flat extent, which is as the disk. */
MUST_CHECK bool vmdk_flat_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target,
                                      struct error *error);

/*
 * Parts of the disk, VMDK_SPLIT_LEN each, in files of their own: the further files of the setup. They are flat, or
 * sparse extents as above, without a descriptor; that is in the image's file.
 */
MUST_CHECK bool vmdk_split_writer_make(const struct vmdk_writer_setup *setup, bool is_flat, struct target **ret_target,
                                       struct error *error);

/* The same of an empty disk, on stable storage: its files only, and no descriptor. */
MUST_CHECK bool vmdk_split_make_files(const struct vmdk_writer_setup *setup, bool is_flat, struct error *error);

/* "disk.vmdk" has parts "disk-s001.vmdk", ...: the host and we make their names alike. */
#define VMDK_PART_NAME_LEN_MAX (sizeof(((instar_ImageIdentity *)NULL)->name.bytes) + sizeof("-s0001"))
/* The name of the part with this number, which is 1 at least, of the image called so; in VMDK_PART_NAME_LEN_MAX bytes.
 */
struct span vmdk_part_name(struct span image_name, bool is_flat, uint32_t number, char *text);

/* For them. A flat extent alone: all of the setup's file. */
MUST_CHECK bool vmdk_flat_extent_make(const struct target_setup *setup, struct target **ret_target,
                                      struct error *error);
/* A copy of a descriptor, from which can be written. False: no memory is left. */
MUST_CHECK bool vmdk_keep_descriptor(struct arena *arena, struct span descriptor, struct span *ret_descriptor);
/* Makes it the content of a file; nothing is under way before or afterwards. With sync, on stable storage. */
MUST_CHECK bool vmdk_write_descriptor(struct target *target, struct file *file, struct span descriptor, bool sync,
                                      struct error *error);

#endif
