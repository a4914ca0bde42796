/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues and the requests in them, as a guest that was taken over leaves them in memory: any descriptors, any
 * indices, any requests of both disks, private ones included.
 *
 * An input is a byte of features, a byte of what is allowed to be written, then rounds: which disk, how far the
 * available index moves, how many bytes to put where in data memory, and the bytes. After each round the disks look.
 * Addresses in descriptors are offsets in data memory where they are less than its length.
 */
#include <string.h>

#include "abi/virtio_mmio.h"
#include "base/checked.h"
#include "fuzz.h"
#include "fuzz_machine.h"

#define ROUNDS_MAX 16u
#define QUEUE_SIZE 16u
#define DISK_MEMORY_LEN (FUZZ_MACHINE_DATA_LEN / FUZZ_MACHINE_DISKS)
/* In each disk's half of data memory. */
#define DESCRIPTORS_OFF 0u
#define AVAILABLE_OFF 512u
#define USED_OFF 1024u
#define FREE_OFF 2048u

static void queue_enable(unsigned int index, uint64_t features)
{
    struct virtio_blk *disk = fuzz_machine_disk(index);
    struct virtqueue *queue = &disk->transport.queues[0];
    struct error error = {0};
    uint64_t start_gpa = LAYOUT_DATA_GPA + index * DISK_MEMORY_LEN;
    queue->memory = &disk->transport.machine->memory;
    queue->size = QUEUE_SIZE;
    queue->has_indirect = (features & 1) != 0;
    queue->has_event_idx = (features & 2) != 0;
    queue->desc_gpa = start_gpa + DESCRIPTORS_OFF;
    queue->driver_gpa = start_gpa + AVAILABLE_OFF;
    queue->device_gpa = start_gpa + USED_OFF;
    FUZZ_ASSERT(virtqueue_enable(queue, &error));
    disk->transport.negotiated = disk->transport.offered & ~((features & 4) != 0 ? VIRTIO_BLK_F_INSTAR : 0);
    disk->transport.status =
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;
}

/* Small addresses become those of data memory: a guest knows where it is. */
static void addresses_fix(struct machine *machine, size_t off, size_t len)
{
    for (size_t at = round_up(off, sizeof(struct virtq_desc)); at + sizeof(struct virtq_desc) <= off + len;
         at += sizeof(struct virtq_desc)) {
        struct virtq_desc desc;
        memcpy(&desc, machine->memory.data + at, sizeof(desc));
        if (desc.addr < FUZZ_MACHINE_DATA_LEN) {
            desc.addr += LAYOUT_DATA_GPA;
            memcpy(machine->memory.data + at, &desc, sizeof(desc));
        }
    }
}

static void round_run(struct machine *machine, struct fuzz_input *input)
{
    unsigned int disk = (unsigned int)fuzz_take(input, 1);
    uint16_t step = (uint16_t)fuzz_take(input, 1);
    size_t off = (size_t)(fuzz_take(input, 2) % DISK_MEMORY_LEN);
    size_t len = (size_t)min_u64(fuzz_take(input, 2), DISK_MEMORY_LEN - off);
    size_t start = disk % FUZZ_MACHINE_DISKS * DISK_MEMORY_LEN;
    struct span bytes = fuzz_take_span(input, len);
    if (bytes.len > 0) {
        memcpy(machine->memory.data + start + off, bytes.data, bytes.len);
    }
    if ((disk & 0x80) == 0) {
        addresses_fix(machine, start + off, bytes.len);
    }
    struct virtq_avail *avail = (struct virtq_avail *)(machine->memory.data + start + AVAILABLE_OFF);
    avail->idx = (uint16_t)(avail->idx + step);
    fuzz_machine_serve();
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    uint64_t features = fuzz_take(&input, 1);
    uint64_t limit = fuzz_take(&input, 1);
    struct machine *machine = fuzz_machine_start(limit * 512);
    for (unsigned int i = 0; i < FUZZ_MACHINE_DISKS; i++) {
        queue_enable(i, features);
    }
    for (unsigned int i = 0; i < ROUNDS_MAX && input.len > 0 && !machine->has_ended; i++) {
        round_run(machine, &input);
    }
    FUZZ_ASSERT(limit == 0 || fuzz_machine_budget()->taken_len <= limit * 512);
    fuzz_machine_stop();
}
