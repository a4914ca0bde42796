/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users may choose about a new qcow2 image (-o), checked. Other options of qemu-img are not about tables but about
 * names and files (size, backing_file, data_file, nocow): the host takes these out and hands them over in other ways.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_OPTIONS_H
#define INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"
#include "messages.pb.h"

#define QCOW2_CLUSTER_BITS_DEFAULT 16u
#define QCOW2_REFCOUNT_ORDER_DEFAULT 4u
/* Subclusters of less than a sector would be none. */
#define QCOW2_EXTENDED_L2_CLUSTER_BITS_MIN 14u

enum qcow2_preallocation {
    QCOW2_PREALLOCATION_OFF,
    QCOW2_PREALLOCATION_METADATA, /* tables tell of clusters that the file has no storage for yet */
    QCOW2_PREALLOCATION_FALLOC,   /* storage is reserved */
    QCOW2_PREALLOCATION_FULL,     /* storage is written */
};

struct qcow2_options {
    uint32_t version; /* 2 or 3 */
    uint32_t cluster_bits;
    uint32_t refcount_order;
    bool has_extended_l2;
    bool has_lazy_refcounts;
    bool is_data_file_raw;
    bool is_encrypted; /* by LUKS: how, the other options of encryption say (crypto/luks_new.h) */
    enum qcow2_compression_type compression;
    enum qcow2_preallocation preallocation;
};

/*
 * The options of a new image, with QEMU's defaults for those that are not there; checked together, and refused with its
 * words. Errors have no place.
 */
MUST_CHECK bool qcow2_options_parse(const instar_FormatOption *options, uint32_t count, bool has_data_file,
                                    struct qcow2_options *ret_options, struct error *error);

/* One of them alone (cluster_size, refcount_bits), for who goes by other rules otherwise. */
MUST_CHECK bool qcow2_option_cluster_bits(const instar_FormatOption *option, uint32_t *ret_bits, struct error *error);
MUST_CHECK bool qcow2_option_refcount_order(const instar_FormatOption *option, uint32_t *ret_order,
                                            struct error *error);

#endif
