/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a hosted sparse extent, "KDMV" ("Virtual Disk Format 5.0", Hosted Sparse Extents), which is also the
 * one of stream-optimized extents, where it may stand at the end of the file, in a footer.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_SPARSE_HEADER_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_SPARSE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/formats/vmdk/vmdk_tables.h"

#define VMDK_SPARSE_MAGIC "KDMV"
#define VMDK_SPARSE_HEADER_LEN 512u

/* The last three sectors of a file with a footer: its marker, the header, and the marker that ends the stream. */
#define VMDK_FOOTER_LEN (3u * VMDK_SECTOR_LEN)

/* As it stands there; VMDK_DIRECTORY_AT_END tells that a footer counts instead. */
#define VMDK_DIRECTORY_AT_END UINT64_MAX
struct vmdk_sparse_header {
    uint32_t version;
    uint32_t flags;
    uint64_t capacity_sectors;
    uint64_t grain_sectors;
    uint64_t descriptor_sector; /* 0: there is no descriptor in the file */
    uint32_t table_count;
    uint64_t redundant_sector;
    uint64_t directory_sector;
    uint64_t overhead_sectors; /* before the first grain */
    uint16_t compression;
};

/* False, without an error, when the magic number or the length is wrong. */
MUST_CHECK bool vmdk_sparse_header_parse(struct span bytes, struct vmdk_sparse_header *ret_header);

/* The header in a footer, VMDK_FOOTER_LEN bytes. */
MUST_CHECK bool vmdk_footer_parse(struct span bytes, struct vmdk_sparse_header *ret_header, struct error *error);

/* Flags that we write: as VMware's programs do, and QEMU, which has a redundant directory in all that are not streams.
 */
#define VMDK_FLAG_LINE_ENDS (1u << 0)     /* line_ends is as it must be: no transfer as text has changed it */
#define VMDK_FLAG_REDUNDANT (1u << 1)     /* there is a redundant grain directory */
#define VMDK_FLAG_ZEROED_GRAINS (1u << 2) /* grain table entry 1 means zeros */
#define VMDK_FLAG_COMPRESSED (1u << 16)
#define VMDK_FLAG_MARKERS (1u << 17) /* grains, tables and directories have markers before them */
#define VMDK_COMPRESSION_DEFLATE 1u

/* Where the descriptor is in a new file, and its room. */
#define VMDK_DESCRIPTOR_SECTOR 1u
#define VMDK_DESCRIPTOR_SECTORS 20u
#define VMDK_DESCRIPTOR_OFF ((uint64_t)VMDK_DESCRIPTOR_SECTOR * VMDK_SECTOR_LEN)
#define VMDK_DESCRIPTOR_LEN 10240u /* bytes */
_Static_assert(VMDK_DESCRIPTOR_LEN == (uint64_t)VMDK_DESCRIPTOR_SECTORS * VMDK_SECTOR_LEN, "the same in bytes");

/* Into VMDK_SPARSE_HEADER_LEN bytes. */
void vmdk_sparse_header_emit(const struct vmdk_sparse_header *header, uint8_t *ret_bytes);

/* Of a header in memory: the disk's length, and where both directories are. All else stays. */
void vmdk_sparse_header_set_shape(const struct vmdk_sparse_header *header, uint8_t *bytes);

/* Markers before what is no grain; each fills a sector. */
enum vmdk_marker_type {
    VMDK_MARKER_END_OF_STREAM = 0,
    VMDK_MARKER_TABLE = 1,
    VMDK_MARKER_DIRECTORY = 2,
    VMDK_MARKER_FOOTER = 3,
};

/* The marker of `sectors` of that type, into VMDK_SECTOR_LEN bytes. */
void vmdk_marker_emit(enum vmdk_marker_type type, uint64_t sectors, uint8_t *ret_bytes);

/* Checks the header of a file of so many bytes, which has no footer or stands in it. */
MUST_CHECK bool vmdk_sparse_header_check(const struct vmdk_sparse_header *header, uint64_t file_len,
                                         struct vmdk_tables *ret_tables, struct error *error);

#endif
