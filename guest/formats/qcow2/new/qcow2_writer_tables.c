/* SPDX-License-Identifier: Apache-2.0 */
/* L2 tables of a new image, in the order of the disk. */
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

static uint64_t table_get(const uint8_t *table, uint64_t index)
{
    struct be64 value;
    memcpy(&value, table + index * sizeof(value), sizeof(value));
    return be64_get(value);
}

static void table_set(uint8_t *table, uint64_t index, uint64_t value)
{
    struct be64 wire = be64_make(value);
    memcpy(table + index * sizeof(wire), &wire, sizeof(wire));
}

static uint64_t word_index(const struct qcow2_writer *writer, uint64_t voff)
{
    return (voff % writer->l2_span_len >> writer->options.cluster_bits) * (writer->l2_entry_len / sizeof(uint64_t));
}

uint64_t qcow2_writer_entry(const struct qcow2_writer *writer, uint64_t voff)
{
    return table_get(writer->l2, word_index(writer, voff));
}

void qcow2_writer_set_entry(struct qcow2_writer *writer, uint64_t voff, uint64_t entry)
{
    table_set(writer->l2, word_index(writer, voff), entry);
    writer->l2_is_used = true;
}

uint64_t qcow2_writer_bitmap(const struct qcow2_writer *writer, uint64_t voff)
{
    return table_get(writer->l2, word_index(writer, voff) + 1);
}

void qcow2_writer_set_bitmap(struct qcow2_writer *writer, uint64_t voff, uint64_t bitmap)
{
    table_set(writer->l2, word_index(writer, voff) + 1, bitmap);
    writer->l2_is_used = true;
}

static bool close_l2(struct qcow2_writer *writer, struct error *error)
{
    if (!writer->l2_is_used) {
        return true;
    }
    uint64_t off;
    uint64_t count;
    RETURN_IF_FAILED(qcow2_writer_allocate(writer, 1, &off, &count, error));
    RETURN_IF_FAILED(qcow2_writer_table(writer, off, writer->l2, writer->cluster_len, error));
    memset(writer->l2, 0, writer->cluster_len);
    writer->l2_is_used = false;
    writer->l1[writer->l2_index] = off | QCOW2_COPIED;
    return true;
}

static bool begin_table(struct qcow2_writer *writer, uint64_t voff, struct error *error)
{
    uint64_t index = voff / writer->l2_span_len;
    if (index != writer->l2_index) {
        RETURN_IF_FAILED(close_l2(writer, error));
        writer->l2_index = index;
    }
    return true;
}

/* Where the clusters from voff on go: in an external file, everything lies where it is on the disk. */
static bool clusters_take(struct qcow2_writer *writer, uint64_t voff, uint64_t count, uint64_t *ret_off,
                          uint64_t *ret_count, struct error *error)
{
    if (writer->data_file == writer->target.file) {
        return qcow2_writer_allocate(writer, count, ret_off, ret_count, error);
    }
    *ret_off = voff;
    *ret_count = count;
    return true;
}

/*
 * Allocates clusters for what has none from filled_voff to `end_voff`, within one L2 table. As in QEMU, the file has
 * zeros there: of an encrypted image the disk has what these are decrypted to, where nobody writes.
 */
static bool fill_table(struct qcow2_writer *writer, uint64_t end_voff, struct error *error)
{
    while (writer->filled_voff < end_voff) { /* ends: each round fills a cluster at least */
        uint64_t voff = writer->filled_voff;
        uint64_t off;
        uint64_t count = 1;
        if (qcow2_writer_entry(writer, voff) == 0) {
            uint64_t wanted = (end_voff - voff + writer->cluster_len - 1) >> writer->options.cluster_bits;
            RETURN_IF_FAILED(clusters_take(writer, voff, wanted, &off, &count, error));
            for (uint64_t i = 0; i < count; i++) {
                qcow2_writer_set_entry(writer, voff + i * writer->cluster_len,
                                       (off + i * writer->cluster_len) | QCOW2_COPIED);
            }
            /* What a device held must not show: the tables now say that this is data. */
            if (writer->options.preallocation != QCOW2_PREALLOCATION_METADATA || !writer->data_file->reads_as_zero) {
                RETURN_IF_FAILED(qcow2_writer_reserve(writer, off, count * writer->cluster_len, error));
            }
        }
        writer->filled_voff = voff + count * writer->cluster_len;
    }
    return true;
}

bool qcow2_writer_fill(struct qcow2_writer *writer, uint64_t voff, struct error *error)
{
    if (writer->options.preallocation == QCOW2_PREALLOCATION_OFF) {
        return true;
    }
    while (writer->filled_voff < voff) { /* ends: each round goes on to the end of a table */
        RETURN_IF_FAILED(begin_table(writer, writer->filled_voff, error));
        uint64_t table_end = (writer->filled_voff / writer->l2_span_len + 1) * writer->l2_span_len;
        RETURN_IF_FAILED(fill_table(writer, min_u64(voff, table_end), error));
    }
    return true;
}

bool qcow2_writer_select(struct qcow2_writer *writer, uint64_t voff, struct error *error)
{
    RETURN_IF_FAILED(qcow2_writer_fill(writer, round_down(voff, writer->cluster_len), error));
    return begin_table(writer, voff, error);
}

bool qcow2_writer_close_tables(struct qcow2_writer *writer, struct error *error)
{
    RETURN_IF_FAILED(qcow2_writer_fill(writer, round_up(writer->target.virtual_len, writer->cluster_len), error));
    return close_l2(writer, error);
}
