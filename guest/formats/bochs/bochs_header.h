/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a redolog of Bochs, versions 1 and 2 (iodev/hdimage of its source). Numbers are little-endian. */
#ifndef INSTAR_GUEST_FORMATS_BOCHS_BOCHS_HEADER_H
#define INSTAR_GUEST_FORMATS_BOCHS_BOCHS_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define BOCHS_HEADER_LEN 512u
#define BOCHS_SECTOR_LEN 512u
/* An entry of the catalog for an extent that is not there. */
#define BOCHS_EXTENT_NONE 0xffffffffu

struct bochs_header {
    uint64_t catalog_off; /* bytes */
    uint32_t catalog_count;
    uint64_t data_off;   /* bytes: where the catalog ends */
    uint64_t bitmap_len; /* bytes in the file, before the data of each extent */
    uint32_t extent_len; /* bytes, a power of two */
    uint64_t disk_len;   /* bytes, whole sectors; no more than the catalog has extents for */
};

/* Whether a file begins like one. */
bool bochs_header_probe(struct span head);

/* Checks in QEMU's order, in its words. */
MUST_CHECK bool bochs_header_parse(struct span head, struct bochs_header *ret_header, struct error *error);

#endif
