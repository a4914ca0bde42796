/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a header (qcow2.txt, "Header"). */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_HEADER_DISK_H
#define INSTAR_GUEST_FORMATS_QCOW2_LAYOUT_QCOW2_HEADER_DISK_H

#include <stddef.h>

#include "base/endian.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"

/* Bytes of a header of version 2; in version 3 its length stands in it. */
#define QCOW2_HEADER_LEN_V2 72u
#define QCOW2_HEADER_LEN_V3_MIN 104u

struct qcow2_header_disk {
    struct be32 magic;
    struct be32 version;
    struct be64 backing_file_offset;
    struct be32 backing_file_size;
    struct be32 cluster_bits;
    struct be64 size;
    struct be32 crypt_method;
    struct be32 l1_size;
    struct be64 l1_table_offset;
    struct be64 refcount_table_offset;
    struct be32 refcount_table_clusters;
    struct be32 nb_snapshots;
    struct be64 snapshots_offset;
    /* Version 3. */
    struct be64 incompatible_features;
    struct be64 compatible_features;
    struct be64 autoclear_features;
    struct be32 refcount_order;
    struct be32 header_length;
    uint8_t compression_type;
    uint8_t padding[7];
};

_Static_assert(sizeof(struct qcow2_header_disk) == QCOW2_HEADER_READ_LEN, "the header of the specification");
_Static_assert(offsetof(struct qcow2_header_disk, incompatible_features) == QCOW2_HEADER_LEN_V2,
               "where version 2 ends");
_Static_assert(offsetof(struct qcow2_header_disk, compression_type) == QCOW2_HEADER_LEN_V3_MIN, "additional fields");

/* Where a field is in the file. */
#define QCOW2_HEADER_OFF(field) offsetof(struct qcow2_header_disk, field)

/* The opposite of qcow2_header_parse; of version 2, the first QCOW2_HEADER_LEN_V2 bytes are the header. */
void qcow2_header_to_disk(const struct qcow2_header *header, struct qcow2_header_disk *ret_disk);

#endif
