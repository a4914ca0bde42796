/* SPDX-License-Identifier: Apache-2.0 */
/* How long a new qcow2 image would be: all metadata of a full image, and the data that there is. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_INFO_QCOW2_MEASURE_H
#define INSTAR_GUEST_FORMATS_QCOW2_INFO_QCOW2_MEASURE_H

#include "guest/formats/qcow2/open/qcow2_image.h"

/* What the options of a new image say, as far as sizes go. */
struct qcow2_layout {
    uint32_t version;
    uint32_t cluster_len; /* bytes, a power of two */
    uint32_t refcount_order;
    bool has_extended_l2;
};

/* Bytes of an image with all clusters of a disk of virtual_len bytes, a multiple of the cluster's length. */
MUST_CHECK bool qcow2_full_len(const struct qcow2_layout *layout, uint64_t virtual_len, uint64_t *ret_len,
                               struct error *error);

/* format.measure */
bool qcow2_measure(const struct measure_request *request, instar_MeasureMessage *ret_result, struct error *error);

#endif
