/* SPDX-License-Identifier: Apache-2.0 */
/* Requests (VIRTIO 1.2, section 5.2.6): header, data, status; read parts before written ones. */
#include <stddef.h>

#include "base/checked.h"
#include "guest/drivers/virtio_blk_driver.h"
#include "guest/runtime/runtime.h"

/* No device writes this value: a request that still has it was not answered. */
#define STATUS_UNSET 0xffu

/* What a request is about, in bytes of the device. */
struct place {
    uint64_t off;
    uint64_t len;
};

struct chain {
    struct virtqueue_part parts[VIRTIO_BLK_SEGMENTS_MAX + 2];
    uint32_t count;
};

static void chain_add(const struct virtio_blk *blk, struct chain *chain, const void *data, uint64_t len,
                      bool device_writes)
{
    uint64_t gpa = (uint64_t)(uintptr_t)data;
    while (len > 0) {
        uint64_t part_len = min_u64(len, blk->segment_len);
        if (chain->count > blk->segment_count) {
            panic("%s: a request of too many segments", blk->mmio.name);
        }
        chain->parts[chain->count++] = (struct virtqueue_part){gpa, (uint32_t)part_len, device_writes};
        gpa += part_len;
        len -= part_len;
    }
}

/* Fills the request's header in and makes it the chain's first part. */
static void begin(struct chain *chain, struct virtio_blk_request *request, uint32_t type, struct place place)
{
    request->header = (struct virtio_blk_request_header){.type = type, .sector = place.off / VIRTIO_BLK_SECTOR_LEN};
    request->status = STATUS_UNSET;
    request->is_done = false;
    request->written_len = 0;
    request->data_len = place.len;
    chain->parts[0] = (struct virtqueue_part){(uint64_t)(uintptr_t)&request->header, sizeof(request->header), false};
    chain->count = 1;
}

/* Adds the status and hands the chain to the queue. */
static void finish(struct virtio_blk *blk, uint16_t queue_index, struct chain *chain,
                   struct virtio_blk_request *request)
{
    chain->parts[chain->count++] =
        (struct virtqueue_part){(uint64_t)(uintptr_t)&request->status, sizeof(request->status), true};
    if (virtio_blk_room(blk, queue_index) == 0) {
        panic("%s: queue %u is full", blk->mmio.name, queue_index);
    }
    virtqueue_add(&blk->queues[queue_index], chain->parts, (uint16_t)chain->count, request);
}

uint16_t virtio_blk_room(const struct virtio_blk *blk, uint16_t queue_index)
{
    return virtqueue_room(&blk->queues[queue_index]);
}

static void transfer(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint32_t type,
                     uint64_t off, const struct virtio_blk_segment *segments, uint32_t count)
{
    struct chain chain;
    begin(&chain, request, type, (struct place){off, 0});
    for (uint32_t i = 0; i < count; i++) {
        chain_add(blk, &chain, segments[i].data, segments[i].len, type == VIRTIO_BLK_T_IN);
        request->data_len += segments[i].len;
    }
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_read(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                     void *data, uint64_t len)
{
    struct virtio_blk_segment segment = {data, len};
    transfer(blk, queue_index, request, VIRTIO_BLK_T_IN, off, &segment, 1);
}

void virtio_blk_write(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                      const void *data, uint64_t len)
{
    struct virtio_blk_segment segment = {(void *)(uintptr_t)data, len};
    transfer(blk, queue_index, request, VIRTIO_BLK_T_OUT, off, &segment, 1);
}

void virtio_blk_read_segments(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                              uint64_t off, const struct virtio_blk_segment *segments, uint32_t count)
{
    transfer(blk, queue_index, request, VIRTIO_BLK_T_IN, off, segments, count);
}

void virtio_blk_write_segments(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                               uint64_t off, const struct virtio_blk_segment *segments, uint32_t count)
{
    transfer(blk, queue_index, request, VIRTIO_BLK_T_OUT, off, segments, count);
}

void virtio_blk_flush(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request)
{
    struct chain chain;
    begin(&chain, request, VIRTIO_BLK_T_FLUSH, (struct place){0, 0});
    finish(blk, queue_index, &chain, request);
}

/* The range of the device is in the data; the header's sector is reserved (5.2.6.1). */
static void submit_range(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                         uint32_t type, struct place place, uint32_t flags)
{
    struct chain chain;
    begin(&chain, request, type, (struct place){0, place.len});
    request->range = (struct virtio_blk_range){
        .sector = place.off / VIRTIO_BLK_SECTOR_LEN,
        .num_sectors = (uint32_t)(place.len / VIRTIO_BLK_SECTOR_LEN),
        .flags = flags,
    };
    chain_add(blk, &chain, &request->range, sizeof(request->range), false);
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_discard(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                        uint64_t len)
{
    submit_range(blk, queue_index, request, VIRTIO_BLK_T_DISCARD, (struct place){off, len}, 0);
}

void virtio_blk_write_zeroes(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                             uint64_t off, uint64_t len, bool may_unmap)
{
    submit_range(blk, queue_index, request, VIRTIO_BLK_T_WRITE_ZEROES, (struct place){off, len},
                 may_unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0);
}

void virtio_blk_get_id(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, char *id)
{
    struct chain chain;
    begin(&chain, request, VIRTIO_BLK_T_GET_ID, (struct place){0, 0});
    chain_add(blk, &chain, id, VIRTIO_BLK_ID_LEN, true);
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_extents(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t off,
                        void *answer, uint32_t answer_len)
{
    struct chain chain;
    begin(&chain, request, VIRTIO_BLK_T_INSTAR_EXTENTS, (struct place){off, 0});
    chain_add(blk, &chain, answer, answer_len, true);
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_find_zeros(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                           uint64_t off, uint32_t unit_bits, uint32_t unit_count, uint8_t *bitmap)
{
    struct chain chain;
    begin(&chain, request, VIRTIO_BLK_T_INSTAR_FIND_ZEROS, (struct place){off, 0});
    request->header.argument = VIRTIO_BLK_ZEROS_ARGUMENT(unit_bits, unit_count);
    chain_add(blk, &chain, bitmap, (unit_count + 7) / 8, true);
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_copy(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                     const struct virtio_blk_copy *copy)
{
    struct chain chain;
    begin(&chain, request, VIRTIO_BLK_T_INSTAR_COPY, (struct place){0, copy->len});
    request->copy = *copy;
    chain_add(blk, &chain, &request->copy, sizeof(request->copy), false);
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_set_len(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request, uint64_t len)
{
    struct chain chain;
    begin(&chain, request, VIRTIO_BLK_T_INSTAR_SET_LEN, (struct place){0, 0});
    request->set_len.len = len;
    chain_add(blk, &chain, &request->set_len, sizeof(request->set_len), false);
    finish(blk, queue_index, &chain, request);
}

void virtio_blk_kick(struct virtio_blk *blk, uint16_t queue_index)
{
    if (virtqueue_publish(&blk->queues[queue_index])) {
        virtio_mmio_notify(&blk->mmio, queue_index);
    }
}

bool virtio_blk_reap(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request **ret_request,
                     struct error *error)
{
    void *token;
    uint32_t written_len;
    switch (virtqueue_take(&blk->queues[queue_index], &token, &written_len)) {
    case VIRTQUEUE_EMPTY:
        *ret_request = NULL;
        return true;
    case VIRTQUEUE_TAKEN:
        *ret_request = token;
        (*ret_request)->written_len = written_len;
        (*ret_request)->is_done = true;
        return true;
    case VIRTQUEUE_BROKEN:
        break;
    }
    return error_set(error, ERROR_HOST, blk->mmio.name, "the device's used ring %u is broken", queue_index);
}

static const char *type_name(uint32_t type)
{
    switch (type) {
    case VIRTIO_BLK_T_IN:
        return "read";
    case VIRTIO_BLK_T_OUT:
        return "write";
    case VIRTIO_BLK_T_DISCARD:
        return "discard";
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return "zeroing";
    default:
        return "request";
    }
}

/* What was asked for, and the result of it. */
static bool fail(const struct virtio_blk *blk, const struct virtio_blk_request *request, enum error_kind kind,
                 const char *result, struct error *error)
{
    const char *name = blk->mmio.name;
    uint32_t type = request->header.type;
    unsigned long long off = request->header.sector * VIRTIO_BLK_SECTOR_LEN;
    switch (type) {
    case VIRTIO_BLK_T_FLUSH:
        return error_set(error, kind, name, "flush %s", result);
    case VIRTIO_BLK_T_GET_ID:
        return error_set(error, kind, name, "query of the device's name %s", result);
    case VIRTIO_BLK_T_INSTAR_EXTENTS:
        return error_set(error, kind, name, "query of data and holes at offset 0x%llx %s", off, result);
    case VIRTIO_BLK_T_INSTAR_SET_LEN:
        return error_set(error, kind, name, "change of the length to %llu bytes %s",
                         (unsigned long long)request->set_len.len, result);
    case VIRTIO_BLK_T_INSTAR_COPY:
        return error_set(error, kind, name, "copy of %llu bytes from offset 0x%llx of device %u to offset 0x%llx %s",
                         (unsigned long long)request->data_len, (unsigned long long)request->copy.source_off,
                         request->copy.source_device, (unsigned long long)request->copy.target_off, result);
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        off = request->range.sector * VIRTIO_BLK_SECTOR_LEN;
        break;
    default:
        break;
    }
    return error_set(error, kind, name, "%s of %llu bytes at offset 0x%llx %s", type_name(type),
                     (unsigned long long)request->data_len, off, result);
}

bool virtio_blk_check(const struct virtio_blk *blk, const struct virtio_blk_request *request, struct error *error)
{
    /* Read once: the device was told to be done with it, but it is the device's to write. */
    uint8_t status = __atomic_load_n(&request->status, __ATOMIC_RELAXED);
    switch (status) {
    case VIRTIO_BLK_S_OK:
        if (request->header.type == VIRTIO_BLK_T_IN && request->written_len != request->data_len + 1) {
            return fail(blk, request, ERROR_IO, "came back short", error);
        }
        return true;
    case VIRTIO_BLK_S_IOERR:
        return fail(blk, request, ERROR_IO, "failed", error);
    case VIRTIO_BLK_S_UNSUPP:
        return fail(blk, request, ERROR_UNSUPPORTED, "is not supported by the device", error);
    default:
        return fail(blk, request, ERROR_HOST, "was not answered", error);
    }
}
