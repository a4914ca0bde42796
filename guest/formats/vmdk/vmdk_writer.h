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
#include "guest/image/block_writer.h"
#include "guest/image/target.h"

/* As in QEMU, and in everything that VMware's programs make. */
#define VMDK_NEW_GRAIN_SECTORS 128u
#define VMDK_NEW_GRAIN_LEN 65536u
_Static_assert(VMDK_NEW_GRAIN_LEN == VMDK_NEW_GRAIN_SECTORS * VMDK_SECTOR_LEN, "the same in bytes");
#define VMDK_NEW_TABLE_COUNT 512u
#define VMDK_NEW_TABLE_SECTORS 4u

/* Grain table entries are sectors, of 32 bits; 1 stands for zeros. */
#define VMDK_ENTRY_ZEROED 1u

/* How many grain tables a disk has. False when that is more than a directory can have. */
MUST_CHECK bool vmdk_new_table_count(uint64_t virtual_len, uint64_t *ret_count, struct error *error);

/* The entry for a grain or a table at `off`; false when that is farther than entries reach. */
MUST_CHECK bool vmdk_new_entry(const struct target *target, uint64_t off, uint32_t *ret_entry, struct error *error);

struct vmdk_writer_setup {
    const struct target_setup *target;
    struct span descriptor; /* its text; VMDK_DESCRIPTOR_SECTORS at most */
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

/* A file for the descriptor, and another one for a flat extent, which is as the disk. */
MUST_CHECK bool vmdk_flat_writer_make(const struct vmdk_writer_setup *setup, struct target **ret_target,
                                      struct error *error);

#endif
