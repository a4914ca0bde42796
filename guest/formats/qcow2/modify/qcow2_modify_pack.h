/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed clusters that an image gets: a target's operations, and how streams follow each other. */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_PACK_H
#define INSTAR_GUEST_FORMATS_QCOW2_MODIFY_QCOW2_MODIFY_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/image/write/target.h"

struct qcow2_modify;

/* Compressed clusters, which follow each other (qcow2_modify_pack.c). */
struct qcow2_modify_pack {
    uint8_t *buffer;     /* NULL: nothing is compressed */
    uint64_t buffer_off; /* where it goes to; the next stream goes behind what is in it, when is_open */
    uint32_t buffer_len; /* bytes */
    bool is_open;
    uint64_t cluster;      /* the last one with a stream */
    uint64_t stream_count; /* of streams in it */
    uint64_t counted;      /* of those, how many its reference count has */
};

/* Compressed clusters: the target's operations. */
bool qcow2_modify_begin_compression(struct target *target, const struct target_compression *compression,
                                    struct error *error);
void qcow2_modify_begin_streams(struct target *target);
uint32_t qcow2_modify_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch);
bool qcow2_modify_write_compressed(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                                   struct error *error);
/* All streams so far are in the file, and counted. */
MUST_CHECK bool qcow2_modify_pack_flush(struct qcow2_modify *modify, struct error *error);
/* The same, and no other one follows them. */
MUST_CHECK bool qcow2_modify_pack_close(struct qcow2_modify *modify, struct error *error);
/* All streams so far are counted; those that are in memory only are forgotten. */
MUST_CHECK bool qcow2_modify_pack_drop(struct qcow2_modify *modify, struct error *error);

#endif
