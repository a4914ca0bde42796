/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dynamic disk header: where the block allocation table is, how long blocks are, and the parent of a differencing
 * disk. Fields are as in the specification, Dynamic Disk Header Format.
 */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_HEADER_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/formats/vpc/vpc_footer.h"

#define VPC_HEADER_LEN 1024u
#define VPC_LOCATOR_COUNT 8u
/* Of the block allocation table. */
#define VPC_ENTRY_LEN 4u
/* Ours: opening looks at every entry. 2040 GiB in blocks of 32 KiB, where those in use are of 512 KiB and more. */
#define VPC_TABLE_COUNT_MAX (1u << 26)
#define VPC_PARENT_NAME_LEN 512u
#define VPC_PLATFORM_RELATIVE_NAME 0x57327275u /* W2ru: UTF-16, little-endian */

/* Where the parent may be found, in the words of one platform. */
struct vpc_locator {
    uint32_t platform; /* four letters */
    uint32_t data_len; /* bytes of the name */
    uint64_t data_off; /* bytes */
};

struct vpc_header {
    uint64_t table_off;   /* bytes; any */
    uint32_t table_count; /* entries; enough for the disk */
    uint32_t block_len;   /* bytes of the disk; a power of two, a sector at least */
    uint32_t bitmap_len;  /* bytes before each block: a bit for each of its sectors, in whole sectors */
    uint8_t parent_id[VPC_ID_LEN];
    uint32_t parent_date_sec;
    uint8_t parent_name[VPC_PARENT_NAME_LEN]; /* UTF-16, big-endian */
    struct vpc_locator locators[VPC_LOCATOR_COUNT];
    bool sum_fits; /* of a header that was read: QEMU does not look, as there are writers that leave it wrong */
};

/* A header's VPC_HEADER_LEN bytes lead to this table, with a checksum that fits; what changes is in the first sector.
 */
void vpc_header_set_table(uint64_t off, uint32_t count, uint8_t *bytes);

/* `ret_bytes` has VPC_HEADER_LEN. */
void vpc_header_emit(const struct vpc_header *header, uint8_t *ret_bytes);

/* `bytes` are VPC_HEADER_LEN. For a disk of virtual_len bytes. Errors are QEMU's. */
MUST_CHECK bool vpc_header_parse(struct span bytes, uint64_t virtual_len, struct vpc_header *ret_header,
                                 struct error *error);

#endif
