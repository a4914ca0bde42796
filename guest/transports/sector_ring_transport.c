/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport ring: two rings of slots on a disk (abi/transports/sector_disk.h). As many slots as are ready, and are
 * wanted, are moved in one batch.
 */
#include <string.h>

#include "abi/transports/sector_disk.h"
#include "base/checked.h"
#include "guest/transports/disk_requests.h"
#include "guest/transports/transport_kinds.h"

struct sector_ring {
    struct transport transport; /* first */
    struct virtio_blk blk;
    struct disk_requests requests;
    struct ring_host *host;   /* a sector in the arena, as last read */
    struct ring_guest *guest; /* likewise, as last written */
    uint8_t *heads;           /* RING_SLOT_COUNT sectors, for output slots */
    uint64_t input_off;       /* bytes of the input that were read */
};

static uint64_t slot_off(uint64_t ring_off, uint64_t number)
{
    return ring_off + number % RING_SLOT_COUNT * RING_SLOT_LEN;
}

static bool host_read(struct sector_ring *ring, struct error *error)
{
    struct disk_range range = {RING_HOST_OFF, ring->host, SECTOR_DISK_SECTOR_LEN};
    RETURN_IF_FAILED(disk_requests_read(&ring->requests, &ring->blk, &range, 1, error));
    return ring->host->status == SECTOR_DISK_READY ||
           error_set(error, ERROR_IO, "ring", "the device reports an I/O error");
}

/* Shows the host what was consumed and produced, and learns what it made of that. */
static bool exchange(struct sector_ring *ring, struct error *error)
{
    struct disk_range range = {RING_GUEST_OFF, ring->guest, SECTOR_DISK_SECTOR_LEN};
    RETURN_IF_FAILED(disk_requests_write(&ring->requests, &ring->blk, &range, 1, error));
    return host_read(ring, error);
}

static bool ring_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct sector_ring *ring = arena_allocate(setup->arena, sizeof(*ring), _Alignof(struct sector_ring));
    uint8_t *sectors =
        arena_allocate(setup->arena, (2 + RING_SLOT_COUNT) * SECTOR_DISK_SECTOR_LEN, SECTOR_DISK_SECTOR_LEN);
    if (ring == NULL || sectors == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    ring->host = (struct ring_host *)(void *)sectors;
    ring->guest = (struct ring_guest *)(void *)(sectors + SECTOR_DISK_SECTOR_LEN);
    ring->heads = sectors + 2 * SECTOR_DISK_SECTOR_LEN;
    RETURN_IF_FAILED(disk_open(&ring->blk, 0, "ring", setup, error));
    RETURN_IF_FAILED(disk_requests_make(&ring->requests, &ring->blk, setup, error));
    RETURN_IF_FAILED(host_read(ring, error));
    ring->transport = (struct transport){
        .operations = &sector_ring_transport,
        .input_len = ring->host->input_len,
        .is_output_zeroed = (setup->boot->transport.flags & BOOT_TRANSPORT_OUTPUT_ZEROED) != 0,
    };
    *ret_transport = &ring->transport;
    return true;
}

/* The next bytes; within a slot, too. */
static bool ring_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    struct sector_ring *ring = (struct sector_ring *)transport;
    uint64_t end_off = off + len;
    uint8_t *next = data;
    while (ring->input_off < end_off) { /* ends: the host has produced a slot, or fails */
        struct disk_range ranges[RING_SLOT_COUNT];
        uint32_t count = 0;
        uint64_t new_off = ring->input_off;
        while (new_off < end_off && count < RING_SLOT_COUNT && new_off / RING_DATA_LEN < ring->host->input_produced) {
            uint64_t data_off = new_off % RING_DATA_LEN;
            uint64_t part_len = min_u64(end_off - new_off, RING_DATA_LEN - data_off);
            ranges[count++] = (struct disk_range){
                slot_off(RING_INPUT_OFF, new_off / RING_DATA_LEN) + SECTOR_DISK_SECTOR_LEN + data_off, next, part_len};
            next += part_len;
            new_off += part_len;
        }
        RETURN_IF_FAILED(disk_requests_read(&ring->requests, &ring->blk, ranges, count, error));
        ring->input_off = new_off;
        /* Slots before this one; the last one is consumed with the end of the file, when nothing follows. */
        uint64_t consumed = new_off / RING_DATA_LEN;
        if (consumed > ring->guest->input_consumed) {
            ring->guest->input_consumed = consumed;
            RETURN_IF_FAILED(exchange(ring, error));
        } else if (count == 0) {
            return error_set(error, ERROR_HOST, "ring", "the host produces no more");
        }
    }
    return true;
}

static bool ring_write(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error)
{
    struct sector_ring *ring = (struct sector_ring *)transport;
    struct ring_guest *guest = ring->guest;
    for (uint64_t done_len = 0; done_len < len;) { /* ends: the ring is empty after each round */
        struct disk_range ranges[2 * RING_SLOT_COUNT];
        uint32_t count = 0;
        while (done_len < len && guest->output_produced - ring->host->output_consumed < RING_SLOT_COUNT) {
            uint64_t part_len = min_u64(len - done_len, RING_DATA_LEN);
            struct ring_slot *slot = (struct ring_slot *)(void *)(ring->heads + count / 2 * SECTOR_DISK_SECTOR_LEN);
            uint64_t slot_start_off = slot_off(RING_OUTPUT_OFF, guest->output_produced);
            *slot = (struct ring_slot){off + done_len, part_len};
            ranges[count++] = (struct disk_range){slot_start_off, slot, SECTOR_DISK_SECTOR_LEN};
            ranges[count++] = (struct disk_range){slot_start_off + SECTOR_DISK_SECTOR_LEN,
                                                  (uint8_t *)(uintptr_t)data + done_len, part_len};
            guest->output_produced++;
            done_len += part_len;
        }
        if (count == 0) {
            return error_set(error, ERROR_HOST, "ring", "the host consumes no more");
        }
        RETURN_IF_FAILED(disk_requests_write(&ring->requests, &ring->blk, ranges, count, error));
        RETURN_IF_FAILED(exchange(ring, error));
    }
    return true;
}

static bool ring_flush(struct transport *transport, struct error *error)
{
    struct sector_ring *ring = (struct sector_ring *)transport;
    ring->guest->flags = RING_FLUSH;
    bool is_flushed = exchange(ring, error);
    ring->guest->flags = 0;
    return is_flushed;
}

const struct transport_operations sector_ring_transport = {
    .name = "ring",
    .id = TRANSPORT_SECTOR_RING,
    .is_sequential = true,
    .open = ring_open,
    .read = ring_read,
    .write = ring_write,
    .flush = ring_flush,
};
