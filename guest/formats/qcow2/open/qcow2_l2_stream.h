/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All L2 tables that an L1 table leads to, in its order, read ahead: for who looks at every entry of an image. Past the
 * end of the file there are zeros.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_L2_STREAM_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_L2_STREAM_H

#include "base/endian.h"
#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/image/io.h"

/* Read at once, at most. */
#define QCOW2_L2_STREAM_TABLES 128u
/* Of memory, at least: an L1 table's part, and the largest L2 table. */
#define QCOW2_L2_STREAM_L1_LEN (64u << 10)
#define QCOW2_L2_STREAM_MEMORY_MIN (QCOW2_L2_STREAM_L1_LEN + (1ull << QCOW2_CLUSTER_BITS_MAX))

struct qcow2_l2_table {
    uint64_t l1_entry; /* as it stands there, not 0 */
    uint64_t index;    /* in the L1 table */
    uint8_t *bytes;    /* one cluster */
    struct io_request request;
};

struct qcow2_l2_stream {
    struct image *image;
    struct io *io;
    uint64_t l1_off;
    uint64_t entry_count;
    uint64_t next;           /* L1 entry */
    struct be64 *l1_entries; /* a part of the L1 table: */
    uint64_t l1_first;
    uint64_t l1_end;
    uint8_t *table_bytes;
    uint32_t table_max; /* that fit into the memory */
    uint32_t table_count;
    uint32_t taken_count;
    uint32_t reading_count;
    struct error error; /* of a read */
    struct qcow2_l2_table tables[QCOW2_L2_STREAM_TABLES];
};

/*
 * `memory` comes from the arena, aligned to 512, and is the stream's until the last table was taken. An L1 table that
 * ends past QEMU's largest offset is an error.
 */
void qcow2_l2_stream_begin(struct qcow2_l2_stream *stream, struct image *image, uint64_t l1_off, uint64_t entry_count,
                           void *memory, uint64_t memory_len);

/* The next table whose L1 entry is not 0; valid until the next call. NULL at the end. */
MUST_CHECK bool qcow2_l2_stream_next(struct qcow2_l2_stream *stream, const struct qcow2_l2_table **ret_table,
                                     struct error *error);

#endif
