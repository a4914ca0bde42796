/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The footer of a VHD: the last 512 bytes of the file, and where blocks are allocated on demand the first ones, too.
 * Fields are as in Microsoft's "Virtual Hard Disk Image Format Specification", Hard Disk Footer Format.
 */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_FOOTER_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_FOOTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define VPC_SECTOR_LEN 512u
#define VPC_FOOTER_LEN 512u
#define VPC_ID_LEN 16u
/* Times are seconds since the start of 2000, UTC. */
#define VPC_EPOCH_SEC 946684800u
/* As QEMU bounds disks: 2040 GiB, the most that a table of 32-bit sector numbers leads to. */
#define VPC_DISK_SECTORS_MAX 0xff000000u

enum vpc_type {
    VPC_FIXED = 2,
    VPC_DYNAMIC = 3,
    VPC_DIFFERENCING = 4,
};

struct vpc_geometry {
    uint16_t cylinders;
    uint8_t heads;
    uint8_t sectors;
};

/* The largest geometry that the fields hold as the specification fills them in: a disk that has it may be larger. */
#define VPC_GEOMETRY_MAX ((struct vpc_geometry){65535, 16, 255})

static inline uint64_t vpc_geometry_sectors(const struct vpc_geometry *geometry)
{
    return (uint64_t)geometry->cylinders * geometry->heads * geometry->sectors; /* 65535 * 255 * 255 at most */
}

/* The specification's geometry of a disk of so many sectors (CHS Calculation): of as many, or somewhat fewer. */
struct vpc_geometry vpc_geometry_of(uint64_t sectors);

struct vpc_footer {
    uint32_t type;       /* as it stands there: an enum vpc_type, or any other number */
    uint64_t header_off; /* bytes; of the dynamic disk header */
    uint64_t virtual_len;
    uint8_t unique_id[VPC_ID_LEN];
    uint32_t date_sec; /* as it stands there */
};

/* What a new footer says besides. */
struct vpc_new_footer {
    struct vpc_footer footer;
    struct vpc_geometry geometry;
    bool counts_bytes; /* the length is that of the disk, whatever the geometry */
};

/* `ret_bytes` has VPC_FOOTER_LEN. */
void vpc_footer_emit(const struct vpc_new_footer *footer, uint8_t *ret_bytes);

/* A footer's VPC_FOOTER_LEN bytes get this length of the disk, whatever the geometry. */
void vpc_footer_set_len(uint64_t virtual_len, uint8_t *bytes);

/* Whether 512 bytes begin as a footer does. */
bool vpc_footer_has_cookie(struct span bytes);

/* The type that stands there; `bytes` are VPC_FOOTER_LEN. */
uint32_t vpc_footer_type(struct span bytes);

/* `bytes` are VPC_FOOTER_LEN and begin with the cookie. Errors are QEMU's. */
MUST_CHECK bool vpc_footer_parse(struct span bytes, struct vpc_footer *ret_footer, struct error *error);

/* The sum that footer and dynamic disk header have: all bytes but the four at `sum_off`, complemented. */
uint32_t vpc_checksum(struct span bytes, size_t sum_off);

#endif
