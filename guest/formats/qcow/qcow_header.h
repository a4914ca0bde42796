/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a QCOW image, version 1, as QEMU's driver reads it. All numbers are big-endian. */
#ifndef INSTAR_GUEST_FORMATS_QCOW_QCOW_HEADER_H
#define INSTAR_GUEST_FORMATS_QCOW_QCOW_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define QCOW_HEADER_LEN 48u
#define QCOW_SECTOR_LEN 512u
/* Of entries of L2 tables: below it, the stream's length, in the upper cluster_bits of 63, and its place. */
#define QCOW_ENTRY_COMPRESSED (1ull << 63)

struct qcow_header {
    uint32_t cluster_bits; /* 9 to 16 */
    uint32_t l2_bits;      /* of an L2 table's entries, 6 to 13 */
    uint64_t disk_len;     /* bytes, as it stands there */
    uint64_t l1_off;       /* bytes */
    uint64_t l1_count;     /* entries, for disk_len */
    uint64_t backing_off;  /* bytes, 0: none */
    uint32_t backing_len;
    bool is_encrypted; /* by AES, the only way there is */
};

/* Sets l1_count, of disk_len. Refuses disks that are too long, in QEMU's words. */
MUST_CHECK bool qcow_header_count_l1(struct qcow_header *header, struct error *error);

/* Of a new image: `ret_bytes` has QCOW_HEADER_LEN. */
void qcow_header_emit(const struct qcow_header *header, uint8_t *ret_bytes);

/* Checks in QEMU's order, in its words. */
MUST_CHECK bool qcow_header_parse(struct span head, struct qcow_header *ret_header, struct error *error);

#endif
