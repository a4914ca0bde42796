/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/new/qcow2_writer.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/open/qcow2_image.h"
#include "guest/image/write/cipher_writer.h"

/* How the file grows (target_grow_to), bytes. */
#define GROWTH_LEN_MIN (64ull << 20)
#define GROWTH_LEN_MAX (16ull << 30)

static void buffer_done(struct io_request *request, const struct error *error)
{
    struct qcow2_writer_buffer *buffer = request->owner;
    buffer->is_busy = false;
    target_request_done(&buffer->writer->target, error);
}

bool qcow2_writer_wait(struct qcow2_writer *writer, const struct qcow2_writer_buffer *buffer, struct error *error)
{
    while (buffer->is_busy) { /* ends: its request is done at some time */
        RETURN_IF_FAILED(io_wait(writer->target.io, error));
    }
    return target_check(&writer->target, error);
}

bool qcow2_writer_buffer(struct qcow2_writer *writer, struct qcow2_writer_buffer *buffer, uint64_t off, uint32_t len,
                         struct error *error)
{
    RETURN_IF_FAILED(qcow2_writer_grow_to(writer, off + len, error));
    buffer->is_busy = true;
    buffer->request = (struct io_request){.done = buffer_done, .owner = buffer};
    writer->target.pending++;
    io_write(writer->target.io, &buffer->request, writer->target.file, off, buffer->data, len);
    return true;
}

/* One that is not busy, after a wait if none is. */
static bool buffer_take(struct qcow2_writer *writer, struct qcow2_writer_buffer **ret_buffer, struct error *error)
{
    struct qcow2_writer_buffer *buffer = &writer->buffers[0];
    for (uint32_t i = 0; i < QCOW2_WRITER_BUFFERS && buffer->is_busy; i++) {
        buffer = &writer->buffers[i];
    }
    *ret_buffer = buffer;
    return qcow2_writer_wait(writer, buffer, error);
}

bool qcow2_writer_table(struct qcow2_writer *writer, uint64_t off, const void *data, uint32_t len, struct error *error)
{
    struct qcow2_writer_buffer *buffer;
    RETURN_IF_FAILED(buffer_take(writer, &buffer, error));
    memcpy(buffer->data, data, len);
    return qcow2_writer_buffer(writer, buffer, off, len, error);
}

bool qcow2_writer_reserve(struct qcow2_writer *writer, uint64_t off, uint64_t len, struct error *error)
{
    struct qcow2_writer_buffer *buffer;
    if (writer->data_file != writer->target.file) {
        len = min_u64(len, writer->data_file->len - off); /* it is as long as the disk */
    } else {
        RETURN_IF_FAILED(qcow2_writer_grow_to(writer, off + len, error));
    }
    RETURN_IF_FAILED(buffer_take(writer, &buffer, error));
    buffer->is_busy = true;
    buffer->request = (struct io_request){.done = buffer_done, .owner = buffer};
    writer->target.pending++;
    io_write_zeroes(writer->target.io, &buffer->request, writer->data_file, off, len, false);
    return true;
}

bool qcow2_writer_flush(struct qcow2_writer *writer, struct error *error)
{
    struct target *target = &writer->target;
    RETURN_IF_FAILED(target_flush_file(target, target->file, error));
    return writer->data_file == target->file || target_flush_file(target, writer->data_file, error);
}

bool qcow2_writer_grow_to(struct qcow2_writer *writer, uint64_t end_off, struct error *error)
{
    return target_grow_to(&writer->target, end_off, GROWTH_LEN_MIN, GROWTH_LEN_MAX, error);
}

static bool too_many(struct qcow2_writer *writer, struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, writer->target.file->name, "the image has too many clusters");
}

bool qcow2_writer_turn(struct qcow2_writer *writer, struct error *error)
{
    struct qcow2_allocator *allocator = &writer->allocator;
    uint64_t off;
    if (!qcow2_allocator_is_full(allocator)) {
        return true;
    }
    if (!qcow2_allocator_turn(allocator, &off)) {
        return too_many(writer, error);
    }
    RETURN_IF_FAILED(qcow2_writer_table(writer, off, allocator->block, writer->cluster_len, error));
    qcow2_allocator_turned(allocator);
    return true;
}

bool qcow2_writer_allocate(struct qcow2_writer *writer, uint64_t count, uint64_t *ret_off, uint64_t *ret_count,
                           struct error *error)
{
    uint64_t cluster;
    RETURN_IF_FAILED(qcow2_writer_turn(writer, error));
    *ret_count = qcow2_allocator_take(&writer->allocator, count, &cluster);
    *ret_off = cluster << writer->options.cluster_bits;
    return true;
}

/* More clusters than one block counts. */
static bool allocate_region(struct qcow2_writer *writer, uint64_t count, uint64_t *ret_off, struct error *error)
{
    struct qcow2_allocator *allocator = &writer->allocator;
    uint32_t bits = writer->options.cluster_bits;
    struct qcow2_allocator_region region;
    if (!qcow2_allocator_region(allocator, count, &region)) {
        return too_many(writer, error);
    }
    for (uint64_t i = 0; i < region.block_count; i++) {
        qcow2_allocator_region_block(allocator, &region, i);
        RETURN_IF_FAILED(
            qcow2_writer_table(writer, (region.first_block + i) << bits, allocator->block, writer->cluster_len, error));
    }
    qcow2_allocator_region_end(allocator);
    *ret_off = region.cluster << bits;
    return true;
}

bool qcow2_writer_allocate_piece(struct qcow2_writer *writer, uint64_t count, uint64_t *ret_off, struct error *error)
{
    struct qcow2_allocator *allocator = &writer->allocator;
    RETURN_IF_FAILED(qcow2_writer_turn(writer, error));
    if ((allocator->block_index + 1) * allocator->block_entries - allocator->next < count) {
        qcow2_allocator_skip(allocator);
        RETURN_IF_FAILED(qcow2_writer_turn(writer, error));
    }
    if (count >= allocator->block_entries) {
        return allocate_region(writer, count, ret_off, error);
    }
    return qcow2_writer_allocate(writer, count, ret_off, &count, error);
}

static uint32_t subcluster_len(const struct qcow2_writer *writer)
{
    return writer->cluster_len / QCOW2_SUBCLUSTER_COUNT;
}

/* Bits of the subclusters that [voff, voff + len) has in the cluster of voff; bit 0 is the first one. */
static uint64_t subcluster_bits(const struct qcow2_writer *writer, uint64_t voff, uint64_t len)
{
    uint64_t start = voff % writer->cluster_len;
    uint64_t end = min_u64(start + len, writer->cluster_len);
    uint32_t first = (uint32_t)(start / subcluster_len(writer));
    uint32_t after = (uint32_t)((end + subcluster_len(writer) - 1) / subcluster_len(writer));
    return ((1ull << (after - first)) - 1) << first;
}

/* The part of [voff, voff + len) has data now, in clusters that are allocated. */
static void mark_data(struct qcow2_writer *writer, uint64_t voff, uint64_t len)
{
    if (!writer->options.has_extended_l2) {
        return;
    }
    uint64_t end = voff + len;
    while (voff < end) { /* ends: each round goes on to the next cluster */
        uint64_t bits = subcluster_bits(writer, voff, end - voff);
        uint64_t bitmap = qcow2_writer_bitmap(writer, voff);
        qcow2_writer_set_bitmap(writer, voff, (bitmap & ~(bits << 32)) | bits);
        voff = round_down(voff, writer->cluster_len) + writer->cluster_len;
    }
}

/* How much of [voff, voff + len) the clusters that it has already store in one piece; 0: there are none. */
static uint64_t existing_len(const struct qcow2_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_off)
{
    uint64_t entry = qcow2_writer_entry(writer, voff);
    uint64_t done_len = writer->cluster_len - voff % writer->cluster_len;
    if (qcow2_l2_off(entry) == 0) {
        return 0;
    }
    while (done_len < len && qcow2_writer_entry(writer, voff + done_len) ==
                                 entry + round_down(voff % writer->cluster_len + done_len, writer->cluster_len)) {
        done_len += writer->cluster_len; /* ends: len lies within a table */
    }
    *ret_off = qcow2_l2_off(entry) + voff % writer->cluster_len;
    return min_u64(done_len, len);
}

/* Finds a place for the start of [voff, voff + len) in the image's own file. */
static bool place_in_image(struct qcow2_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_off,
                           uint64_t *ret_len, struct error *error)
{
    *ret_len = existing_len(writer, voff, len, ret_off);
    if (*ret_len > 0) {
        return true;
    }
    uint64_t first_voff = round_down(voff, writer->cluster_len);
    uint64_t wanted = (voff + len - first_voff + writer->cluster_len - 1) >> writer->options.cluster_bits;
    uint64_t off;
    uint64_t count;
    RETURN_IF_FAILED(qcow2_writer_allocate(writer, wanted, &off, &count, error));
    uint64_t i = 0;
    while (i < count && qcow2_writer_entry(writer, first_voff + i * writer->cluster_len) == 0) {
        uint64_t cluster_off = off + i * writer->cluster_len;
        qcow2_writer_set_entry(writer, first_voff + i * writer->cluster_len, cluster_off | QCOW2_COPIED);
        i++;
    }
    *ret_off = off + (voff - first_voff);
    *ret_len = min_u64(len, i * writer->cluster_len - (voff - first_voff));
    return true;
}

/* In an external file, everything lies where it is on the disk. */
static void place_in_data_file(struct qcow2_writer *writer, uint64_t voff, uint64_t len)
{
    uint64_t end = voff + len;
    for (uint64_t at = round_down(voff, writer->cluster_len); at < end; at += writer->cluster_len) {
        qcow2_writer_set_entry(writer, at, at | QCOW2_COPIED);
    }
}

/* Finds a place for the start of a stretch, and makes the file long enough for it. */
static bool place(struct qcow2_writer *writer, uint64_t voff, uint64_t len, uint64_t *ret_off, uint64_t *ret_len,
                  struct error *error)
{
    RETURN_IF_FAILED(target_check(&writer->target, error));
    RETURN_IF_FAILED(qcow2_writer_select(writer, voff, error));
    len = min_u64(len, writer->l2_span_len - voff % writer->l2_span_len);
    if (writer->data_file != writer->target.file) {
        place_in_data_file(writer, voff, len);
        *ret_off = voff;
    } else {
        RETURN_IF_FAILED(place_in_image(writer, voff, len, ret_off, &len, error));
        RETURN_IF_FAILED(qcow2_writer_grow_to(writer, round_up(*ret_off + len, writer->cluster_len), error));
    }
    mark_data(writer, voff, len);
    *ret_len = len;
    return true;
}

/* What reads as zeros is encrypted as everything else. */
static bool write_encrypted_zeros(struct qcow2_writer *writer, uint64_t voff, uint64_t len, struct error *error)
{
    uint64_t end = voff + len;
    while (voff < end) { /* ends: each round finds a place for some of it */
        struct qcow2_writer_buffer *buffer;
        uint64_t off, part_len;
        RETURN_IF_FAILED(place(writer, voff, min_u64(end - voff, CIPHER_WRITE_LEN_MAX), &off, &part_len, error));
        RETURN_IF_FAILED(buffer_take(writer, &buffer, error));
        buffer->is_busy = true;
        buffer->request = (struct io_request){.done = buffer_done, .owner = buffer};
        writer->target.pending++;
        if (!cipher_write(writer->cipher, &buffer->request, writer->data_file, off, off, NULL, part_len, error)) {
            writer->target.pending--;
            return false;
        }
        voff += part_len;
    }
    return true;
}

/*
 * Of the unit in which the disk ends, what is behind the end: it is encrypted zeros, so that a disk that is made longer
 * reads as zeros there. In images that are not encrypted it is a hole.
 */
static bool write_encrypted_end(struct qcow2_writer *writer, uint64_t end, struct error *error)
{
    uint64_t unit_end = round_up(end, writer->target.unit_len);
    bool ends_there = writer->data_file != writer->target.file; /* it is as long as the disk */
    return ends_there || end < writer->target.virtual_len || end == unit_end ||
           write_encrypted_zeros(writer, end, unit_end - end, error);
}

/* Sectors are counted by where they lie in the file. */
static bool write_encrypted(struct qcow2_writer *writer, struct target_write *write, uint64_t voff, const void *data,
                            uint64_t len, uint64_t *ret_len, struct error *error)
{
    uint64_t off;
    RETURN_IF_FAILED(place(writer, voff, min_u64(len, CIPHER_WRITE_LEN_MAX), &off, ret_len, error));
    RETURN_IF_FAILED(write_encrypted_end(writer, voff + *ret_len, error));
    target_begin_write(&writer->target, write);
    if (!cipher_write(writer->cipher, &write->request, writer->data_file, off, off, data, *ret_len, error)) {
        writer->target.pending--;
        return false;
    }
    return true;
}

static bool writer_write(struct target *target, struct target_write *write, uint64_t voff, const void *data,
                         uint64_t len, uint64_t *ret_len, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    uint64_t off;
    if (writer->cipher != NULL) {
        return write_encrypted(writer, write, voff, data, len, ret_len, error);
    }
    RETURN_IF_FAILED(place(writer, voff, len, &off, ret_len, error));
    target_begin_write(target, write);
    io_write(target->io, &write->request, writer->data_file, off, data, *ret_len);
    return true;
}

static bool writer_copy(struct target *target, struct target_write *write, uint64_t voff, struct file *source,
                        uint64_t source_off, uint64_t len, uint32_t zero_len, uint64_t *ret_len, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    uint64_t off;
    RETURN_IF_FAILED(place(writer, voff, len, &off, ret_len, error));
    target_begin_write(target, write);
    io_copy(target->io, &write->request, source, source_off, writer->data_file, off, *ret_len, zero_len);
    return true;
}

/* Marks a cluster, or subclusters of it, as zeros. */
static void mark_zero(struct qcow2_writer *writer, uint64_t voff, uint64_t len)
{
    if (writer->options.has_extended_l2) {
        uint64_t bits = subcluster_bits(writer, voff, len);
        uint64_t bitmap = qcow2_writer_bitmap(writer, voff);
        qcow2_writer_set_bitmap(writer, voff, (bitmap & ~bits) | bits << 32);
    } else {
        qcow2_writer_set_entry(writer, voff, qcow2_writer_entry(writer, voff) | QCOW2_L2_ZERO);
    }
}

/* Storage that reads as zeros. */
static bool store_zeros(struct qcow2_writer *writer, uint64_t voff, uint64_t len, struct error *error)
{
    uint64_t end = voff + len;
    while (voff < end) { /* ends: each round finds a place for some of it */
        uint64_t off;
        uint64_t part_len;
        RETURN_IF_FAILED(place(writer, voff, end - voff, &off, &part_len, error));
        RETURN_IF_FAILED(qcow2_writer_reserve(writer, off, part_len, error));
        voff += part_len;
    }
    return true;
}

/*
 * Nothing, unless there is something behind: then the tables say zero. Version 2 cannot say that: storage that reads
 * as zeros does.
 */
static bool writer_zero(struct target *target, uint64_t voff, uint64_t len, struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    bool has_storage = writer->stores_zeros || writer->options.preallocation != QCOW2_PREALLOCATION_OFF ||
                       (target->has_backing && writer->options.version < 3);
    if (writer->cipher != NULL && has_storage) {
        return write_encrypted_zeros(writer, voff, len, error) && write_encrypted_end(writer, voff + len, error);
    }
    if (writer->stores_zeros) {
        return store_zeros(writer, voff, len, error);
    }
    if (!target->has_backing) {
        return true;
    }
    uint64_t end = voff + len;
    while (voff < end) { /* ends: each round goes on to the next cluster */
        uint64_t part_len = min_u64(end - voff, writer->cluster_len - voff % writer->cluster_len);
        if (writer->options.version >= 3) {
            RETURN_IF_FAILED(target_check(&writer->target, error));
            RETURN_IF_FAILED(qcow2_writer_select(writer, voff, error));
            mark_zero(writer, voff, part_len);
        } else {
            uint64_t off;
            RETURN_IF_FAILED(place(writer, voff, part_len, &off, &part_len, error));
            if (!target->file->reads_as_zero) {
                RETURN_IF_FAILED(qcow2_writer_table(writer, off, writer->zeros, (uint32_t)part_len, error));
            }
        }
        voff += part_len;
    }
    return true;
}

static uint32_t writer_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch)
{
    return qcow2_compress(&((const struct qcow2_writer *)target)->compression, cluster, stream, scratch);
}

const struct target_operations qcow2_writer_operations = {
    .write = writer_write,
    .copy = writer_copy,
    .zero = writer_zero,
    .write_compressed = qcow2_writer_write_compressed,
    .copy_streams = qcow2_writer_copy_streams,
    .compress = writer_compress,
    .begin_bitmaps = qcow2_writer_begin_bitmaps,
    .add_bitmaps = qcow2_writer_add_bitmaps,
    .finish = qcow2_writer_finish,
};
