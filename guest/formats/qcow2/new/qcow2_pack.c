/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed clusters of a new image: streams follow each other byte by byte, over the borders of host clusters where
 * these are neighbours. A host cluster has as many references as there are streams in it.
 */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/new/qcow2_writer.h"
#include "guest/formats/qcow2/open/qcow2_image.h"

static struct qcow2_writer_buffer *current_buffer(struct qcow2_pack *pack)
{
    return &pack->buffers[pack->current];
}

/* Writes the current buffer's whole sectors, and goes on with the other buffer and what is left. */
static bool flush_sectors(struct qcow2_writer *writer, struct error *error)
{
    struct qcow2_pack *pack = &writer->pack;
    struct qcow2_writer_buffer *full = current_buffer(pack);
    uint32_t whole_len = (uint32_t)round_down(pack->buffer_len, SECTOR_LEN);
    uint32_t rest_len = pack->buffer_len - whole_len;
    pack->current = (pack->current + 1) % QCOW2_PACK_BUFFERS;
    RETURN_IF_FAILED(qcow2_writer_wait(writer, current_buffer(pack), error));
    memcpy(current_buffer(pack)->data, full->data + whole_len, rest_len);
    uint64_t off = pack->buffer_off;
    pack->buffer_off += whole_len;
    pack->buffer_len = rest_len;
    return whole_len == 0 || qcow2_writer_buffer(writer, full, off, whole_len, error);
}

bool qcow2_pack_close(struct qcow2_writer *writer, struct error *error)
{
    struct qcow2_pack *pack = &writer->pack;
    uint32_t rest_len = (uint32_t)(round_up(pack->buffer_len, SECTOR_LEN) - pack->buffer_len);
    memset(current_buffer(pack)->data + pack->buffer_len, 0, rest_len);
    pack->buffer_len += rest_len;
    pack->is_open = false;
    return pack->buffer_len == 0 || flush_sectors(writer, error);
}

static bool append(struct qcow2_writer *writer, struct span stream, struct error *error)
{
    struct qcow2_pack *pack = &writer->pack;
    size_t done_len = 0;
    while (done_len < stream.len) { /* ends: a flush makes room for more than a sector */
        size_t len = (size_t)min_u64(stream.len - done_len, QCOW2_PACK_LEN - pack->buffer_len);
        memcpy(current_buffer(pack)->data + pack->buffer_len, stream.data + done_len, len);
        pack->buffer_len += (uint32_t)len;
        done_len += len;
        if (pack->buffer_len == QCOW2_PACK_LEN) {
            RETURN_IF_FAILED(flush_sectors(writer, error));
        }
    }
    pack->next_off += stream.len;
    return true;
}

/* Begins with a new cluster, wherever that is. */
static bool restart(struct qcow2_writer *writer, struct error *error)
{
    struct qcow2_pack *pack = &writer->pack;
    RETURN_IF_FAILED(qcow2_pack_close(writer, error));
    uint64_t count;
    RETURN_IF_FAILED(qcow2_writer_allocate(writer, 1, &pack->next_off, &count, error));
    pack->buffer_off = pack->next_off;
    pack->is_open = true;
    return true;
}

/*
 * Whether `len` bytes can follow the last stream; then takes what they need. A stream is shorter than a cluster, so it
 * needs one more cluster at most, which must be the next one.
 */
static bool extend(struct qcow2_writer *writer, size_t len)
{
    struct qcow2_pack *pack = &writer->pack;
    struct qcow2_allocator *allocator = &writer->allocator;
    uint64_t used_len = pack->next_off % writer->cluster_len;
    uint64_t cluster = pack->next_off >> writer->options.cluster_bits;
    if (!pack->is_open) {
        return false;
    }
    if (used_len == 0) { /* the last stream filled its cluster */
        uint64_t next;
        return allocator->next == cluster && !qcow2_allocator_is_full(allocator) &&
               qcow2_allocator_take(allocator, 1, &next) == 1;
    }
    if (len <= writer->cluster_len - used_len) {
        return qcow2_allocator_share(allocator, cluster);
    }
    if (allocator->next != cluster + 1 || qcow2_allocator_is_full(allocator) ||
        !qcow2_allocator_share(allocator, cluster)) {
        return false;
    }
    uint64_t next;
    (void)qcow2_allocator_take(allocator, 1, &next);
    return true;
}

bool qcow2_writer_write_compressed(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                                   struct error *error)
{
    struct qcow2_writer *writer = qcow2_writer_of(target);
    RETURN_IF_FAILED(target_check(&writer->target, error));
    RETURN_IF_FAILED(qcow2_writer_select(writer, voff, error));
    if (!extend(writer, stream.len)) {
        RETURN_IF_FAILED(restart(writer, error));
    }
    uint64_t off = writer->pack.next_off;
    if (off + stream.len > 1ull << qcow2_compressed_off_bits(writer->options.cluster_bits)) {
        return error_set(error, ERROR_UNSUPPORTED, target->file->name,
                         "the image gets too long for compressed clusters");
    }
    qcow2_writer_set_entry(writer, voff, qcow2_compressed_entry(writer->options.cluster_bits, off, stream.len));
    RETURN_IF_FAILED(append(writer, stream, error));
    /* The bytes are in our own memory: the caller's are free. */
    write->done(write, NULL);
    return true;
}
