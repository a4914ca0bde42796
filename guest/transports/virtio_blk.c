/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-blk disk each for input and output, on the driver that all programs have. A call becomes requests of
 * request_len bytes, `depth` of them in the queue.
 */
#include <stddef.h>

#include "base/checked.h"
#include "guest/drivers/virtio_blk.h"
#include "guest/transports/kinds.h"

#define QUEUE 0u

struct disks {
    struct transport transport; /* first */
    struct virtio_blk input;
    struct virtio_blk output;
    uint64_t request_len;
    uint32_t request_count;
    struct virtio_blk_request *requests;
    struct virtio_blk_request **unused;
};

static bool disk_open(struct virtio_blk *blk, uint32_t index, const char *name, const struct transport_setup *setup,
                      struct error *error)
{
    struct virtio_blk_setup own = {
        .name = name,
        .registers_gpa = setup->boot->devices[index].registers_gpa,
        .tsc_khz = setup->boot->tsc_khz,
        .queue_count = 1,
        .rings = setup->queues,
        .arena = setup->arena,
    };
    return virtio_blk_open(blk, &own, error);
}

static bool requests_make(struct disks *disks, const struct transport_setup *setup, struct error *error)
{
    /* At least one fits an empty queue. */
    uint32_t count = (uint32_t)min_u64(setup->depth, VIRTQUEUE_SIZE_MAX);
    disks->requests =
        arena_allocate(setup->arena, count * sizeof(*disks->requests), _Alignof(struct virtio_blk_request));
    disks->unused = arena_allocate(setup->arena, count * sizeof(*disks->unused), sizeof(*disks->unused));
    if (disks->requests == NULL || disks->unused == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for %u requests", count);
    }
    disks->request_count = count;
    disks->request_len = min_u64(setup->request_len, min_u64(disks->input.transfer_len, disks->output.transfer_len));
    return true;
}

static bool disks_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct disks *disks = arena_allocate(setup->arena, sizeof(*disks), _Alignof(struct disks));
    if (disks == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for two disks");
    }
    if (setup->boot->device_count < 2) {
        return error_set(error, ERROR_HOST, NULL, "a copy needs two devices");
    }
    RETURN_IF_FAILED(disk_open(&disks->input, 0, "input", setup, error));
    RETURN_IF_FAILED(disk_open(&disks->output, 1, "output", setup, error));
    RETURN_IF_FAILED(requests_make(disks, setup, error));
    disks->transport = (struct transport){
        .operations = &virtio_blk_transport,
        .input_len = disks->input.file_len,
        .is_output_zeroed = disks->output.is_zeroed,
    };
    *ret_transport = &disks->transport;
    return true;
}

/* The queue was empty before, and is so afterwards unless something failed, which ends the program. */
static bool disk_move(struct disks *disks, struct virtio_blk *blk, uint64_t off, uint8_t *data, uint64_t len,
                      bool is_write, struct error *error)
{
    struct virtio_blk *const blks[] = {blk};
    uint64_t whole_len = round_up(len, TRANSPORT_UNIT_LEN);
    uint64_t submitted_len = 0;
    uint32_t unused_count = disks->request_count;
    for (uint32_t i = 0; i < disks->request_count; i++) {
        disks->unused[i] = &disks->requests[i];
    }
    /* Ends: each round submits something or waits until the device is done with something. */
    while (submitted_len < whole_len || unused_count < disks->request_count) {
        while (submitted_len < whole_len && unused_count > 0 && virtio_blk_room(blk, QUEUE) > 0) {
            struct virtio_blk_request *request = disks->unused[--unused_count];
            uint64_t part_len = min_u64(whole_len - submitted_len, disks->request_len);
            if (is_write) {
                virtio_blk_write(blk, QUEUE, request, off + submitted_len, data + submitted_len, part_len);
            } else {
                virtio_blk_read(blk, QUEUE, request, off + submitted_len, data + submitted_len, part_len);
            }
            submitted_len += part_len;
        }
        virtio_blk_kick(blk, QUEUE);
        RETURN_IF_FAILED(virtio_blk_wait_any(blks, 1, error));
        for (;;) {
            struct virtio_blk_request *request;
            RETURN_IF_FAILED(virtio_blk_reap(blk, QUEUE, &request, error));
            if (request == NULL) {
                break;
            }
            RETURN_IF_FAILED(virtio_blk_check(blk, request, error));
            disks->unused[unused_count++] = request;
        }
    }
    return true;
}

static bool disks_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct disks *disks = (struct disks *)transport;
    return disk_move(disks, &disks->input, off, data, len, false, error);
}

static bool disks_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    struct disks *disks = (struct disks *)transport;
    return disk_move(disks, &disks->output, off, (uint8_t *)(uintptr_t)data, len, true, error);
}

static bool disks_flush(struct transport *transport, struct error *error)
{
    struct disks *disks = (struct disks *)transport;
    /* A device without FLUSH has no cache that could be lost (5.2.6.2). */
    if ((disks->output.mmio.features & VIRTIO_BLK_F_FLUSH) == 0) {
        return true;
    }
    virtio_blk_flush(&disks->output, QUEUE, &disks->requests[0]);
    return virtio_blk_execute(&disks->output, QUEUE, &disks->requests[0], error);
}

const struct transport_operations virtio_blk_transport = {
    .name = "virtio-blk",
    .id = TRANSPORT_VIRTIO_BLK,
    .open = disks_open,
    .read = disks_read,
    .write = disks_write,
    .flush = disks_flush,
};
