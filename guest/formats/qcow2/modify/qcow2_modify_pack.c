/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed clusters that come to an existing image: streams follow each other byte by byte, over the border of host
 * clusters where these are neighbours, as in a new image (qcow2_pack.c). What is in memory is written, and every
 * stream counted, before the entries that lead there are (qcow2_modify_checkpoint).
 */
#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/modify/qcow2_modify.h"
#include "guest/formats/qcow2/open/qcow2_compressed.h"

/* Streams are put together to writes of this length, bytes; more than the longest one, and a sector. */
#define PACK_LEN ((2u << 20) + 4096u)
/*
 * Of storage that streams have taken the place of, before others get it: what is written over an image that has plain
 * clusters makes its file so much longer at most, and few checkpoints are needed for that.
 */
#define RELEASED_LEN_MAX (128ull << 20)
/*
 * Streams that share a cluster are references to it, and a snapshot doubles these. Who asks for compressed clusters
 * gets them, whatever the width of counts; others shall be able to make snapshots as before: 16 bits.
 */
#define REFCOUNT_ORDER_MIN 4u

/* False: there is none left. */
static bool take_buffer(struct qcow2_modify *modify)
{
    modify->pack.buffer = arena_allocate(modify->image->environment->arena, PACK_LEN, 4096);
    return modify->pack.buffer != NULL;
}

static bool begin_compression(struct qcow2_modify *modify, const struct target_compression *wanted, struct error *error)
{
    const struct qcow2_header *header = &modify->qcow2->header;
    if (modify->is_data_external) {
        return error_set(error, ERROR_USAGE, NULL, "clusters of an external data file cannot be compressed");
    }
    if (modify->cipher != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Compression and encryption not supported at the same time");
    }
    RETURN_IF_FAILED(qcow2_compression_choose(wanted, (enum qcow2_compression_type)header->compression_type,
                                              header->cluster_len, &modify->target, &modify->compression, error));
    return take_buffer(modify) ||
           error_set(error, ERROR_LIMIT, modify->target.file->name, "no memory is left to write compressed clusters");
}

bool qcow2_modify_begin_compression(struct target *target, const struct target_compression *compression,
                                    struct error *error)
{
    return begin_compression(qcow2_modify_of(target), compression, error);
}

void qcow2_modify_begin_streams(struct target *target)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    const struct qcow2_header *header = &modify->qcow2->header;
    if (modify->is_data_external || modify->cipher != NULL || header->refcount_order < REFCOUNT_ORDER_MIN ||
        !take_buffer(modify)) {
        return;
    }
    target->compress_len = header->cluster_len;
    target->takes_streams = qcow2_stream_kind(header->compression_type);
}

uint32_t qcow2_modify_compress(const struct target *target, struct span cluster, uint8_t *stream, void *scratch)
{
    return qcow2_compress(&((const struct qcow2_modify *)target)->compression, cluster, stream, scratch);
}

/* The cluster that was written to last has one reference for each of its streams. */
static bool count_streams(struct qcow2_modify *modify, struct error *error)
{
    struct qcow2_modify_pack *pack = &modify->pack;
    uint64_t count = pack->stream_count - pack->counted;
    pack->counted = pack->stream_count;
    return count == 0 || qcow2_modify_count(modify, pack->cluster, 1, (int64_t)count, error);
}

bool qcow2_modify_pack_flush(struct qcow2_modify *modify, struct error *error)
{
    struct qcow2_modify_pack *pack = &modify->pack;
    RETURN_IF_FAILED(count_streams(modify, error));
    if (pack->buffer_len == 0) {
        return true;
    }
    uint32_t whole_len = (uint32_t)round_up(pack->buffer_len, SECTOR_LEN);
    memset(pack->buffer + pack->buffer_len, 0, whole_len - pack->buffer_len);
    RETURN_IF_FAILED(qcow2_modify_write(modify, pack->buffer_off, pack->buffer, whole_len, 0, error));
    /* The last sector stays, as the next stream may begin in it. */
    uint32_t kept_off = (uint32_t)round_down(pack->buffer_len, SECTOR_LEN);
    memmove(pack->buffer, pack->buffer + kept_off, pack->buffer_len - kept_off);
    pack->buffer_off += kept_off;
    pack->buffer_len -= kept_off;
    return true;
}

bool qcow2_modify_pack_close(struct qcow2_modify *modify, struct error *error)
{
    struct qcow2_modify_pack *pack = &modify->pack;
    RETURN_IF_FAILED(qcow2_modify_pack_flush(modify, error));
    pack->is_open = false;
    pack->buffer_len = 0;
    return true;
}

bool qcow2_modify_pack_drop(struct qcow2_modify *modify, struct error *error)
{
    modify->pack.is_open = false;
    modify->pack.buffer_len = 0;
    return count_streams(modify, error);
}

/* Goes on with a cluster that has just been reserved, and whose one reference is its first stream's. */
static bool begin_cluster(struct qcow2_modify *modify, uint64_t off, struct error *error)
{
    struct qcow2_modify_pack *pack = &modify->pack;
    RETURN_IF_FAILED(count_streams(modify, error));
    pack->cluster = off >> modify->qcow2->header.cluster_bits;
    pack->stream_count = pack->counted = 1;
    return true;
}

/* Whether there is room for one more reference to the current cluster. */
static bool can_share(const struct qcow2_modify *modify)
{
    uint32_t bits = 1u << modify->qcow2->header.refcount_order;
    return modify->pack.stream_count < UINT64_MAX >> (64 - bits);
}

/* Finds the place of `len` bytes, less than a cluster: behind the last stream, or at the start of another cluster. */
static bool place_stream(struct qcow2_modify *modify, uint64_t len, uint64_t *ret_off, struct error *error)
{
    struct qcow2_modify_pack *pack = &modify->pack;
    uint64_t next_off = pack->buffer_off + pack->buffer_len;
    uint64_t room = round_up(next_off, modify->cluster_len) - next_off;
    bool shares = pack->is_open && room > 0 && can_share(modify);
    *ret_off = next_off;
    if (shares && len <= room) {
        pack->stream_count++;
        return true;
    }
    uint64_t off;
    RETURN_IF_FAILED(qcow2_modify_take_loose(modify, 1, &off, error));
    bool follows = pack->is_open && off == next_off + room && (shares || room == 0);
    if (follows) {
        pack->stream_count += room > 0;
    } else {
        RETURN_IF_FAILED(qcow2_modify_pack_close(modify, error));
        pack->buffer_off = off;
        pack->is_open = true;
        *ret_off = off;
    }
    return begin_cluster(modify, off, error);
}

bool qcow2_modify_write_compressed(struct target *target, struct target_write *write, uint64_t voff, struct span stream,
                                   struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    struct qcow2_modify_pack *pack = &modify->pack;
    uint32_t bits = modify->qcow2->header.cluster_bits;
    struct qcow2_l2_entry old;
    uint64_t off;
    RETURN_IF_FAILED(target_check(target, error));
    if (qcow2_releases_total(&modify->releases) >= RELEASED_LEN_MAX >> bits) {
        RETURN_IF_FAILED(qcow2_modify_checkpoint(modify, error));
    }
    RETURN_IF_FAILED(qcow2_modify_prepare(modify, voff, error));
    RETURN_IF_FAILED(qcow2_modify_get(modify, voff, &old, error));
    if (stream.len > PACK_LEN - SECTOR_LEN - pack->buffer_len) {
        RETURN_IF_FAILED(qcow2_modify_pack_flush(modify, error));
    }
    RETURN_IF_FAILED(place_stream(modify, stream.len, &off, error));
    if (off + stream.len > 1ull << qcow2_compressed_off_bits(bits)) {
        return error_set(error, ERROR_UNSUPPORTED, target->file->name,
                         "the image gets too long for compressed clusters");
    }
    memcpy(pack->buffer + pack->buffer_len, stream.data, stream.len);
    pack->buffer_len += (uint32_t)stream.len;
    RETURN_IF_FAILED(qcow2_modify_release_entry(modify, old, error));
    qcow2_modify_set(modify, voff,
                     (struct qcow2_l2_entry){.descriptor = qcow2_compressed_entry(bits, off, stream.len)});
    qcow2_modify_tie(modify, pack->cluster << bits, 1);
    qcow2_modify_note(modify, voff, min_u64(modify->cluster_len, target->virtual_len - voff));
    RETURN_IF_FAILED(target_check(target, error));
    write->done(write, NULL); /* the bytes are in our own memory */
    return true;
}
