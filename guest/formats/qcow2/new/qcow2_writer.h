/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new qcow2 image, written front to back. Layout:
 *
 *   header | clusters as they come: data, L2 tables, blocks of reference counts | refcount table | L1 table
 *
 * Clusters are handed out in order (qcow2_allocator.h). As the disk arrives in order, one L2 table is in memory; it
 * goes to the file when the disk has moved on. The two tables at the end are in memory until then: the format bounds
 * them (8 and 32 MiB), and with clusters of 64 KiB a terabyte takes 16 KiB of L1 table. The header is written when
 * everything else has been: until then the file is no image.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_NEW_QCOW2_WRITER_H
#define INSTAR_GUEST_FORMATS_QCOW2_NEW_QCOW2_WRITER_H

#include "guest/formats/qcow2/new/qcow2_allocator.h"
#include "guest/formats/qcow2/write/qcow2_bitmap_copy.h"
#include "guest/formats/qcow2/write/qcow2_compress.h"
#include "guest/formats/qcow2/write/qcow2_options.h"
#include "guest/image/write/target.h"

/* Tables that may be on their way to the file. */
#define QCOW2_WRITER_BUFFERS 4u
/* Compressed clusters are put together to writes of this length, bytes. */
#define QCOW2_PACK_LEN (1u << 20)
#define QCOW2_PACK_BUFFERS 2u

struct cipher_writer;
struct qcow2_writer;

/* Memory that is being written to the file. */
struct qcow2_writer_buffer {
    struct qcow2_writer *writer;
    struct io_request request;
    uint8_t *data;
    bool is_busy;
};

/* Compressed clusters, which follow each other without gaps (qcow2_pack.c). */
struct qcow2_pack {
    struct qcow2_writer_buffer buffers[QCOW2_PACK_BUFFERS];
    uint32_t current;
    bool is_open;        /* the next stream may begin at next_off */
    uint64_t next_off;   /* bytes in the file: the first that no stream has */
    uint64_t buffer_off; /* of the current buffer's first byte, a multiple of 512 */
    uint32_t buffer_len; /* bytes in it */
};

/* Streams that were copied as they lie in another file (qcow2_streams.c); more may follow. Clusters, modulo 2^64. */
struct qcow2_stream_run {
    const struct file *source; /* NULL: there are none */
    uint64_t last;             /* of the source: all up to this one were copied */
    uint64_t shift;            /* from a cluster there to its copy */
};

struct qcow2_writer {
    struct target target; /* first */
    struct qcow2_options options;
    struct file *data_file; /* of guest clusters: target.file, or the external one */
    struct file_name data_name;
    struct file_name backing_name;
    char backing_format[32];              /* empty: not told */
    bool stores_zeros;                    /* everything has storage */
    struct qcow2_compression compression; /* when compress_len is set */
    uint32_t cluster_len;
    uint32_t l2_entry_len; /* bytes */
    uint64_t l2_span_len;  /* bytes of the disk that an L2 table covers */
    uint64_t l1_entry_count;

    const uint8_t *zeros; /* a cluster of them */
    struct qcow2_allocator allocator;
    uint64_t *l1; /* as the L1 table, in our byte order */
    uint8_t *l2;  /* the current L2 table */
    uint64_t l2_index;
    bool l2_is_used;              /* it has an entry */
    struct cipher_writer *cipher; /* NULL: not encrypted */
    uint64_t crypto_off;          /* then: the LUKS header with its key slots; bytes */
    uint64_t crypto_len;
    uint64_t filled_voff; /* with preallocation: clusters of the disk before this have been allocated */
    struct qcow2_pack pack;
    struct qcow2_stream_run stream_run;
    struct qcow2_writer_buffer buffers[QCOW2_WRITER_BUFFERS];
    struct qcow2_bitmap_copy bitmaps;
    const struct shard *shard; /* the image is this part of one; NULL: all of it */
    struct arena *arena;
};

static inline struct qcow2_writer *qcow2_writer_of(struct target *target)
{
    return (struct qcow2_writer *)target;
}

extern const struct target_operations qcow2_writer_operations;

/* A new image (format.create). */
bool qcow2_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* Everything so far, and the data file's, is on stable storage; nothing is under way afterwards. */
MUST_CHECK bool qcow2_writer_flush(struct qcow2_writer *writer, struct error *error);
/* Storage for clusters that nobody has written. */
MUST_CHECK bool qcow2_writer_reserve(struct qcow2_writer *writer, uint64_t off, uint64_t len, struct error *error);
/* Makes the file long enough for bytes up to `end_off`. */
MUST_CHECK bool qcow2_writer_grow_to(struct qcow2_writer *writer, uint64_t end_off, struct error *error);

/* Goes on with another block of reference counts, if the current one is full. */
MUST_CHECK bool qcow2_writer_turn(struct qcow2_writer *writer, struct error *error);

/* Writes a copy of `len` bytes, a cluster at most. */
MUST_CHECK bool qcow2_writer_table(struct qcow2_writer *writer, uint64_t off, const void *data, uint32_t len,
                                   struct error *error);
/* The same with a buffer of the caller's that is not busy: its first `len` bytes, a multiple of 512. */
MUST_CHECK bool qcow2_writer_buffer(struct qcow2_writer *writer, struct qcow2_writer_buffer *buffer, uint64_t off,
                                    uint32_t len, struct error *error);
/* Waits until a buffer is not busy. */
MUST_CHECK bool qcow2_writer_wait(struct qcow2_writer *writer, const struct qcow2_writer_buffer *buffer,
                                  struct error *error);

/* Up to `count` clusters that follow each other; sets *ret_count to how many, one at least. */
MUST_CHECK bool qcow2_writer_allocate(struct qcow2_writer *writer, uint64_t count, uint64_t *ret_off,
                                      uint64_t *ret_count, struct error *error);

/*
 * `count` clusters in one piece, whatever that takes: where one block of reference counts is not enough, those before
 * it may be left free. No more than qcow2_allocator_init, or qcow2_allocator_expect, was told of.
 */
MUST_CHECK bool qcow2_writer_allocate_piece(struct qcow2_writer *writer, uint64_t count, uint64_t *ret_off,
                                            struct error *error);

/* Tables (qcow2_writer_tables.c). */

/* Makes the L2 table that covers `voff` the current one. */
MUST_CHECK bool qcow2_writer_select(struct qcow2_writer *writer, uint64_t voff, struct error *error);
/* The entry of a cluster of the current table, and of its bitmap of subclusters. */
uint64_t qcow2_writer_entry(const struct qcow2_writer *writer, uint64_t voff);
void qcow2_writer_set_entry(struct qcow2_writer *writer, uint64_t voff, uint64_t entry);
uint64_t qcow2_writer_bitmap(const struct qcow2_writer *writer, uint64_t voff);
void qcow2_writer_set_bitmap(struct qcow2_writer *writer, uint64_t voff, uint64_t bitmap);
/* With preallocation: allocates what is before `voff` and has nothing yet. */
MUST_CHECK bool qcow2_writer_fill(struct qcow2_writer *writer, uint64_t voff, struct error *error);
/* Writes the L2 table in memory, after all that preallocation still wants. */
MUST_CHECK bool qcow2_writer_close_tables(struct qcow2_writer *writer, struct error *error);

/* target_operations. */
bool qcow2_writer_write_compressed(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                                   struct error *error);
bool qcow2_writer_copy_streams(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                               const struct target_stream *streams, uint32_t count, uint32_t *ret_count,
                               struct error *error);
/* Writes what is left of the streams. */
MUST_CHECK bool qcow2_pack_close(struct qcow2_writer *writer, struct error *error);
bool qcow2_writer_begin_bitmaps(struct target *target, struct image *source, struct error *error);
bool qcow2_writer_add_bitmaps(struct target *target, struct image *source, struct error *error);
bool qcow2_writer_finish(struct target *target, bool sync, struct error *error);

/*
 * The header's cluster, of everything that is known in the end. `ret_cluster` holds cluster_len zeros. False when names
 * do not fit.
 */
struct qcow2_new_header {
    uint64_t refcount_table_off;
    uint64_t refcount_table_clusters;
    uint64_t l1_off;
};
MUST_CHECK bool qcow2_header_emit(const struct qcow2_writer *writer, const struct qcow2_new_header *last,
                                  uint8_t *ret_cluster, struct error *error);

#endif
