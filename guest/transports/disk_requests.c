/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/transports/disk_requests.h"

#include "base/checked.h"

#define QUEUE 0u

bool disk_open(struct virtio_blk *blk, uint32_t index, const char *name, const struct transport_setup *setup,
               struct error *error)
{
    if (index >= setup->boot->device_count) {
        return error_set(error, ERROR_HOST, name, "the machine has no device %u", index);
    }
    struct virtio_blk_setup own = {
        .name = name,
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(index),
        .tsc_khz = setup->boot->tsc_khz,
        .queue_count = 1,
        .rings = setup->queues,
        .arena = setup->arena,
    };
    RETURN_IF_FAILED(virtio_blk_open(blk, &own, error));
    blk->poll_ticks = transport_poll_ticks(setup->boot, blk->poll_ticks);
    return true;
}

bool disk_requests_make(struct disk_requests *requests, const struct virtio_blk *blk,
                        const struct transport_setup *setup, struct error *error)
{
    uint32_t count = (uint32_t)min_u64(setup->depth, VIRTQUEUE_SIZE_MAX);
    *requests = (struct disk_requests){
        .request_len = min_u64(setup->request_len, blk->transfer_len),
        .count = count,
        .requests =
            arena_allocate(setup->arena, count * sizeof(*requests->requests), _Alignof(struct virtio_blk_request)),
        .unused = arena_allocate(setup->arena, count * sizeof(*requests->unused), sizeof(*requests->unused)),
    };
    return (requests->requests != NULL && requests->unused != NULL) ||
           error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for %u requests", count);
}

/* Takes back what the disk is done with. */
static bool reap(struct disk_requests *requests, struct virtio_blk *blk, uint32_t *unused_count, struct error *error)
{
    struct virtio_blk *const blks[] = {blk};
    RETURN_IF_FAILED(virtio_blk_wait_any(blks, 1, error));
    for (;;) { /* ends: only so many are in flight */
        struct virtio_blk_request *request;
        RETURN_IF_FAILED(virtio_blk_reap(blk, QUEUE, &request, error));
        if (request == NULL) {
            return true;
        }
        RETURN_IF_FAILED(virtio_blk_check(blk, request, error));
        requests->unused[(*unused_count)++] = request;
    }
}

static void submit(struct virtio_blk *blk, struct virtio_blk_request *request, const struct disk_range *range,
                   uint64_t range_off, uint64_t len, bool is_write)
{
    uint8_t *data = (uint8_t *)range->data + range_off;
    if (is_write) {
        virtio_blk_write(blk, QUEUE, request, range->off + range_off, data, len);
    } else {
        virtio_blk_read(blk, QUEUE, request, range->off + range_off, data, len);
    }
}

static bool move(struct disk_requests *requests, struct virtio_blk *blk, const struct disk_range *ranges,
                 uint32_t count, bool is_write, struct error *error)
{
    uint32_t unused_count = requests->count;
    for (uint32_t i = 0; i < requests->count; i++) {
        requests->unused[i] = &requests->requests[i];
    }
    uint32_t index = 0;
    uint64_t done_len = 0; /* of the range `index` */
    /* Ends: each round submits something or waits until the disk is done with something. */
    while (index < count || unused_count < requests->count) {
        while (index < count && unused_count > 0 && virtio_blk_room(blk, QUEUE) > 0) {
            uint64_t whole_len = round_up(ranges[index].len, TRANSPORT_UNIT_LEN);
            uint64_t part_len = min_u64(whole_len - done_len, requests->request_len);
            if (part_len > 0) {
                submit(blk, requests->unused[--unused_count], &ranges[index], done_len, part_len, is_write);
            }
            done_len += part_len;
            if (done_len == whole_len) {
                index++;
                done_len = 0;
            }
        }
        virtio_blk_kick(blk, QUEUE);
        RETURN_IF_FAILED(unused_count == requests->count || reap(requests, blk, &unused_count, error));
    }
    return true;
}

bool disk_requests_read(struct disk_requests *requests, struct virtio_blk *blk, const struct disk_range *ranges,
                        uint32_t count, struct error *error)
{
    return move(requests, blk, ranges, count, false, error);
}

bool disk_requests_write(struct disk_requests *requests, struct virtio_blk *blk, const struct disk_range *ranges,
                         uint32_t count, struct error *error)
{
    return move(requests, blk, ranges, count, true, error);
}

bool disk_requests_flush(struct disk_requests *requests, struct virtio_blk *blk, struct error *error)
{
    /* A device without FLUSH has no cache that could be lost (5.2.6.2). */
    if ((blk->mmio.features & VIRTIO_BLK_F_FLUSH) == 0) {
        return true;
    }
    virtio_blk_flush(blk, QUEUE, &requests->requests[0]);
    return virtio_blk_execute(blk, QUEUE, &requests->requests[0], error);
}
