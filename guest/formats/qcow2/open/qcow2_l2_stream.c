/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/open/qcow2_l2_stream.h"

#include "base/checked.h"
#include "base/endian.h"

#define L1_ENTRY_LEN sizeof(struct be64)

void qcow2_l2_stream_begin(struct qcow2_l2_stream *stream, struct image *image, uint64_t l1_off, uint64_t entry_count,
                           void *memory, uint64_t memory_len)
{
    const struct qcow2_header *header = &qcow2_of(image)->header;
    uint64_t table_max = (memory_len - QCOW2_L2_STREAM_L1_LEN) >> header->cluster_bits;
    /* Behind the file's end there are zeros, and those lead nowhere. */
    uint64_t file_entries =
        image->file->len > l1_off ? (image->file->len - l1_off + L1_ENTRY_LEN - 1) / L1_ENTRY_LEN : 0;
    stream->image = image;
    stream->io = image->environment->io;
    stream->l1_off = l1_off;
    stream->entry_count = min_u64(entry_count, file_entries);
    stream->next = 0;
    stream->l1_entries = memory;
    stream->l1_first = stream->l1_end = 0;
    stream->table_bytes = (uint8_t *)memory + QCOW2_L2_STREAM_L1_LEN;
    stream->table_max = (uint32_t)min_u64(table_max, QCOW2_L2_STREAM_TABLES);
    stream->table_count = stream->taken_count = stream->reading_count = 0;
    stream->error = (struct error){0};
}

/* The next entry that is not 0 and its number. *ret_entry is 0 when there is none. */
static bool next_l1_entry(struct qcow2_l2_stream *stream, uint64_t *ret_entry, uint64_t *ret_index, struct error *error)
{
    while (stream->next < stream->entry_count) { /* ends: each round takes an entry, or reads some */
        if (stream->next == stream->l1_end) {
            uint64_t len = min_u64((stream->entry_count - stream->next) * L1_ENTRY_LEN, QCOW2_L2_STREAM_L1_LEN);
            RETURN_IF_FAILED(file_read(stream->image->file, stream->l1_off + stream->next * L1_ENTRY_LEN,
                                       stream->l1_entries, (size_t)len, error));
            stream->l1_first = stream->next;
            stream->l1_end = stream->next + len / L1_ENTRY_LEN;
        }
        uint64_t index = stream->next++;
        uint64_t entry = be64_get(stream->l1_entries[index - stream->l1_first]);
        if (entry != 0) {
            *ret_entry = entry;
            *ret_index = index;
            return true;
        }
    }
    *ret_entry = 0;
    return true;
}

static void table_read(struct io_request *request, const struct error *error)
{
    struct qcow2_l2_stream *stream = request->owner;
    stream->reading_count--;
    if (error != NULL && !error_is_set(&stream->error)) {
        stream->error = *error;
    }
}

/* Reads the next tables, as many as there is room for. */
static bool fill(struct qcow2_l2_stream *stream, struct error *error)
{
    const struct qcow2_header *header = &qcow2_of(stream->image)->header;
    stream->table_count = stream->taken_count = 0;
    while (stream->table_count < stream->table_max) {
        struct qcow2_l2_table *table = &stream->tables[stream->table_count];
        RETURN_IF_FAILED(next_l1_entry(stream, &table->l1_entry, &table->index, error));
        if (table->l1_entry == 0) {
            break;
        }
        table->bytes = stream->table_bytes + ((uint64_t)stream->table_count << header->cluster_bits);
        table->request = (struct io_request){.done = table_read, .owner = stream};
        stream->table_count++;
    }
    stream->reading_count = stream->table_count;
    for (uint32_t i = 0; i < stream->table_count; i++) {
        struct qcow2_l2_table *table = &stream->tables[i];
        io_read(stream->io, &table->request, stream->image->file, table->l1_entry & QCOW2_L1_OFFSET_MASK, table->bytes,
                header->cluster_len);
    }
    while (stream->reading_count > 0) { /* ends: each wait ends one at least */
        RETURN_IF_FAILED(io_wait(stream->io, error));
    }
    if (error_is_set(&stream->error)) {
        *error = stream->error;
        return false;
    }
    return true;
}

bool qcow2_l2_stream_next(struct qcow2_l2_stream *stream, const struct qcow2_l2_table **ret_table, struct error *error)
{
    if (stream->taken_count == stream->table_count) {
        RETURN_IF_FAILED(fill(stream, error));
    }
    *ret_table = stream->table_count > 0 ? &stream->tables[stream->taken_count++] : NULL;
    return true;
}
