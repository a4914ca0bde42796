/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a QED image (docs/interop/qed_spec.txt of QEMU). All numbers are little-endian. */
#ifndef INSTAR_GUEST_FORMATS_QED_QED_HEADER_H
#define INSTAR_GUEST_FORMATS_QED_QED_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define QED_HEADER_LEN 64u
#define QED_SECTOR_LEN 512u

#define QED_FEATURE_BACKING_FILE (1ull << 0)
#define QED_FEATURE_NEED_CHECK (1ull << 1)
#define QED_FEATURE_BACKING_NO_PROBE (1ull << 2) /* the backing file is raw */

struct qed_header {
    uint32_t cluster_len; /* bytes, a power of two, 4 KiB to 64 MiB */
    uint32_t cluster_bits;
    uint32_t table_clusters; /* of the L1 table and of each L2 table: 1 to 16, a power of two */
    uint32_t entry_bits;     /* a table has 2^entry_bits entries */
    uint64_t header_len;     /* bytes, whole clusters */
    uint64_t features;
    uint64_t l1_off;    /* bytes, checked like every table's */
    uint64_t image_len; /* bytes, whole sectors */
    uint32_t backing_off;
    uint32_t backing_len;
    uint64_t file_len; /* bytes, whole clusters: what is behind does not count */
};

/* Checks in QEMU's order, in its words. `head` has QED_HEADER_LEN bytes. */
MUST_CHECK bool qed_header_parse(struct span head, uint64_t file_len, struct qed_header *ret_header,
                                 struct error *error);

/*
 * The header of a new image without a backing file: its own cluster, and the L1 table behind it. Refuses what QEMU
 * refuses, in its words, and tables of one cluster, which QEMU makes and does not read.
 */
MUST_CHECK bool qed_header_make(uint64_t cluster_len, uint64_t table_clusters, uint64_t disk_len,
                                struct qed_header *ret_header, struct error *error);

/* `ret_bytes` has QED_HEADER_LEN. */
void qed_header_emit(const struct qed_header *header, uint8_t *ret_bytes);

/* The same in a header that exists: what it says besides stays. */
void qed_header_update(const struct qed_header *header, uint8_t *bytes);

/* Whether two levels of tables reach to a disk of image_len. */
bool qed_header_is_len_valid(const struct qed_header *header);

/* Whether a cluster, or a table, may be at this offset: behind the header, within the file, on a cluster's start. */
bool qed_is_cluster(const struct qed_header *header, uint64_t off);
bool qed_is_table(const struct qed_header *header, uint64_t off);

#endif
