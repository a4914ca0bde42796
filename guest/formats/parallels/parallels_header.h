/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a Parallels image (docs/interop/parallels.txt of QEMU). All numbers are little-endian. */
#ifndef INSTAR_GUEST_FORMATS_PARALLELS_PARALLELS_HEADER_H
#define INSTAR_GUEST_FORMATS_PARALLELS_PARALLELS_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define PARALLELS_HEADER_LEN 64u /* the BAT follows */
#define PARALLELS_SECTOR_LEN 512u

struct parallels_header {
    uint64_t cluster_len; /* bytes, whole sectors: any number of them, 2 GiB at most */
    uint64_t unit_len;    /* bytes that the BAT's entries count: a sector in the old format, a cluster in the new one */
    uint32_t entry_count; /* of the BAT */
    uint64_t disk_len;    /* bytes */
    uint64_t data_off;    /* bytes: no cluster begins before it; 0: the header does not say */
    bool is_in_use;       /* was not closed */
    uint64_t extension_off; /* bytes, 0: none */
};

/* Whether a file begins like one. */
bool parallels_header_probe(struct span head);

/* The header of a new image. Refuses what QEMU refuses, in its words; cluster_len is whole sectors. */
MUST_CHECK bool parallels_header_make(uint64_t cluster_len, uint64_t disk_len, struct parallels_header *ret_header,
                                      struct error *error);

/* With clusters from data_off on. `ret_bytes` has PARALLELS_HEADER_LEN. */
void parallels_header_emit(const struct parallels_header *header, uint64_t data_off, uint8_t *ret_bytes);

/* Sets whether the image is in use, in a header's PARALLELS_HEADER_LEN bytes. */
void parallels_header_set_in_use(uint8_t *bytes, bool is_in_use);

/* The header leads to no format extension any more. */
void parallels_header_drop_extension(uint8_t *bytes);

/* Checks in QEMU's order, in its words. */
MUST_CHECK bool parallels_header_parse(struct span head, struct parallels_header *ret_header, struct error *error);

#endif
