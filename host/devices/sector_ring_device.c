/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/sector_ring_device.h"

#include <inttypes.h>
#include <string.h>

#include "abi/transports/sector_disk.h"
#include "base/checked.h"
#include "host/devices/sector_disk_device.h"

struct sector_ring {
    struct sector_disk disk; /* first */
    /* Counts of slots that both sides have agreed on: ours to believe, whatever the disk says. */
    uint64_t input_produced;
    uint64_t input_consumed;
    uint64_t output_consumed;
    bool has_failed;
};

static uint8_t *slot_at(struct sector_ring *ring, uint64_t ring_off, uint64_t number)
{
    return ring->disk.content + ring_off + number % RING_SLOT_COUNT * RING_SLOT_LEN;
}

/* Fills what is free, up to the end of the input. */
static bool input_produce(struct sector_ring *ring, struct error *error)
{
    uint64_t input_len = ring->disk.input->backend->len;
    while (ring->input_produced - ring->input_consumed < RING_SLOT_COUNT &&
           ring->input_produced * RING_DATA_LEN < input_len && !ring->has_failed) {
        uint8_t *slot = slot_at(ring, RING_INPUT_OFF, ring->input_produced);
        uint64_t off = ring->input_produced * RING_DATA_LEN;
        struct ring_slot head = {off, min_u64(RING_DATA_LEN, input_len - off)};
        int result;
        RETURN_IF_FAILED(
            transport_file_read(ring->disk.input, off, slot + SECTOR_DISK_SECTOR_LEN, head.len, &result, error));
        memcpy(slot, &head, sizeof(head));
        ring->has_failed |= result != 0;
        ring->input_produced++;
    }
    return true;
}

/* Ends: `produced` is at most a ring ahead. */
static bool output_consume(struct sector_ring *ring, uint64_t produced, struct error *error)
{
    while (ring->output_consumed < produced && !ring->has_failed) {
        const uint8_t *slot = slot_at(ring, RING_OUTPUT_OFF, ring->output_consumed);
        struct ring_slot head;
        int result;
        memcpy(&head, slot, sizeof(head));
        if (head.len > RING_DATA_LEN) {
            return error_set(error, ERROR_GUEST, "ring", "the guest says that a slot has %" PRIu64 " bytes", head.len);
        }
        RETURN_IF_FAILED(
            transport_file_write(ring->disk.output, head.off, slot + SECTOR_DISK_SECTOR_LEN, head.len, &result, error));
        ring->has_failed |= result != 0;
        ring->output_consumed++;
    }
    return true;
}

static bool guest_check(const struct sector_ring *ring, const struct ring_guest *guest, struct error *error)
{
    if (guest->input_consumed < ring->input_consumed || guest->input_consumed > ring->input_produced) {
        return error_set(error, ERROR_GUEST, "ring",
                         "the guest says that it has consumed %" PRIu64 " slots, after %" PRIu64 " of %" PRIu64,
                         guest->input_consumed, ring->input_consumed, ring->input_produced);
    }
    if (guest->output_produced < ring->output_consumed ||
        guest->output_produced - ring->output_consumed > RING_SLOT_COUNT) {
        return error_set(error, ERROR_GUEST, "ring",
                         "the guest says that it has produced %" PRIu64 " slots, after %" PRIu64,
                         guest->output_produced, ring->output_consumed);
    }
    if ((guest->flags & ~RING_FLUSH) != 0) {
        return error_set(error, ERROR_GUEST, "ring", "the guest sets unknown flags 0x%" PRIx32, guest->flags);
    }
    return true;
}

static void host_show(struct sector_ring *ring)
{
    struct ring_host host = {
        .input_len = ring->disk.input->backend->len,
        .input_produced = ring->input_produced,
        .output_consumed = ring->output_consumed,
        .status = ring->has_failed ? SECTOR_DISK_FAILED : SECTOR_DISK_READY,
    };
    memcpy(ring->disk.content + RING_HOST_OFF, &host, sizeof(host));
}

static bool guest_take(struct sector_disk *disk, struct error *error)
{
    struct sector_ring *ring = (struct sector_ring *)disk;
    struct ring_guest guest;
    memcpy(&guest, disk->content + RING_GUEST_OFF, sizeof(guest));
    RETURN_IF_FAILED(guest_check(ring, &guest, error));
    ring->input_consumed = guest.input_consumed;
    RETURN_IF_FAILED(output_consume(ring, guest.output_produced, error));
    if ((guest.flags & RING_FLUSH) != 0 && !ring->has_failed) {
        ring->has_failed = transport_file_flush(disk->output) != 0;
    }
    RETURN_IF_FAILED(input_produce(ring, error));
    host_show(ring);
    return true;
}

static bool sector_ring_make(const struct transport_device_setup *setup, struct transport_device **ret_device,
                             struct error *error)
{
    struct sector_disk_config config = {
        .operations = &sector_ring_device,
        .name = "ring",
        .len = RING_DISK_LEN,
        .control_off = RING_GUEST_OFF,
        .handler = guest_take,
    };
    struct sector_disk *disk;
    RETURN_IF_FAILED(sector_disk_make(setup, &config, sizeof(struct sector_ring), &disk, error));
    struct sector_ring *ring = (struct sector_ring *)disk;
    if (!input_produce(ring, error)) {
        sector_disk_release(&disk->device);
        return false;
    }
    host_show(ring);
    *ret_device = &disk->device;
    return true;
}

const struct transport_device_operations sector_ring_device = {
    .make = sector_ring_make,
    .release = sector_disk_release,
};
