/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every sparse extent comes down to, whichever header it has: a grain directory, whose entries are places of grain
 * tables, whose entries are places of grains.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_TABLES_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"

#define VMDK_SECTOR_LEN 512u

/* QEMU's limits: grains of 1 GiB, a directory of 32 Mi entries. */
#define VMDK_GRAIN_SECTORS_MAX 0x200000u
#define VMDK_DIRECTORY_COUNT_MAX (32u << 20)

struct vmdk_tables {
    uint64_t capacity_len;    /* bytes of the disk, INT64_MAX at most */
    uint32_t grain_len;       /* bytes, 1 GiB at most */
    uint32_t table_count;     /* entries of a grain table, not 0 */
    uint64_t directory_off;   /* bytes in the file, INT64_MAX at most */
    uint64_t directory_count; /* entries */
    bool has_redundant;       /* there is another directory, with tables of its own: */
    uint64_t redundant_off;   /* bytes */
    bool is_compressed;       /* grains are zlib streams */
    bool has_markers;         /* each behind a marker, which has its length */
    bool has_zeroed_grains;   /* entry 1 stands for zeros */
    bool is_sesparse;         /* entries have 64 bits and tags: */
    uint64_t tables_off;      /* bytes: where tables are counted from */
    uint64_t grains_off;      /* and grains */
};

/*
 * Of what a header says: sets capacity_len, grain_len, table_count, directory_off and directory_count, in QEMU's order
 * of complaints. All in sectors; `directory_count` may be UINT64_MAX: as many as the capacity takes.
 */
struct vmdk_shape {
    uint64_t capacity_sectors;
    uint64_t grain_sectors;
    uint32_t table_count;
    uint64_t directory_sector;
    uint64_t directory_count;
};
MUST_CHECK bool vmdk_tables_set(struct vmdk_tables *tables, const struct vmdk_shape *shape, struct error *error);

/* Bytes of so many sectors; false, without an error, when that is more than INT64_MAX. */
MUST_CHECK bool vmdk_sectors_len(uint64_t sectors, uint64_t *ret_len);

#endif
