/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_COMPRESS_H
#define INSTAR_GUEST_FORMATS_QCOW2_WRITE_QCOW2_COMPRESS_H

#include "guest/formats/qcow2/layout/qcow2_header.h"
#include "guest/image/write/target.h"

struct qcow2_compression {
    enum qcow2_compression_type type;
    int level;
    bool large_window;
};

/* Checks what is wanted, and sets what the target tells of compression: compress_len and scratch_len. */
MUST_CHECK bool qcow2_compression_choose(const struct target_compression *wanted, enum qcow2_compression_type type,
                                         uint32_t cluster_len, struct target *target,
                                         struct qcow2_compression *ret_compression, struct error *error);

/* target_operations.compress */
uint32_t qcow2_compress(const struct qcow2_compression *compression, struct span cluster, uint8_t *stream,
                        void *scratch);

#endif
