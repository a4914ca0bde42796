/* SPDX-License-Identifier: Apache-2.0 */
/* The device: its start, its configuration, waiting for it. Requests are in virtio_blk_driver_request.c. */
#include "guest/drivers/virtio_blk_driver.h"

#include <stddef.h>

#include "abi/ports.h"
#include "abi/virtio_mmio.h"
#include "base/checked.h"
#include "guest/drivers/device_queue.h"
#include "guest/runtime/platform.h"

#define ACCEPTED_FEATURES                                                                                              \
    (VIRTIO_F_EVENT_IDX | VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE |     \
     VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_MQ | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES | \
     VIRTIO_BLK_F_INSTAR)
/* The longest file that there is, in whole sectors. */
#define CAPACITY_LEN_MAX (INT64_MAX + 1ull)
#define REQUIRED_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC)

/* The fields that the driver uses, each only when its feature says that it is there. */
struct config {
    uint64_t capacity_sectors;
    uint32_t size_max;
    uint32_t seg_max;
    uint32_t blk_size;
    uint16_t num_queues;
    uint32_t max_discard_sectors;
    uint32_t max_write_zeroes_sectors;
    uint64_t file_len;
    uint64_t allocated_len;
    uint32_t instar_flags;
};

static uint64_t read_field(const struct virtio_blk *blk, uint64_t feature, uint32_t off, uint32_t len, uint64_t absent)
{
    return (blk->mmio.features & feature) == feature ? virtio_mmio_read_config(&blk->mmio, off, len) : absent;
}

#define CONFIG_FIELD(blk, feature, field, absent)                       \
    read_field(blk, feature, offsetof(struct virtio_blk_config, field), \
               sizeof(((struct virtio_blk_config *)NULL)->field), absent)
#define INSTAR_FIELD(blk, field, absent)                                                        \
    read_field(blk, VIRTIO_BLK_F_INSTAR,                                                        \
               VIRTIO_BLK_INSTAR_CONFIG_OFF + offsetof(struct virtio_blk_instar_config, field), \
               sizeof(((struct virtio_blk_instar_config *)NULL)->field), absent)

static struct config config_read_once(const struct virtio_blk *blk)
{
    struct config config = {
        .capacity_sectors = CONFIG_FIELD(blk, 0, capacity, 0),
        .size_max = (uint32_t)CONFIG_FIELD(blk, VIRTIO_BLK_F_SIZE_MAX, size_max, VIRTIO_BLK_DATA_LEN_MAX),
        /* Without SEG_MAX a driver can rely on one segment only. */
        .seg_max = (uint32_t)CONFIG_FIELD(blk, VIRTIO_BLK_F_SEG_MAX, seg_max, 1),
        .blk_size = (uint32_t)CONFIG_FIELD(blk, VIRTIO_BLK_F_BLK_SIZE, blk_size, VIRTIO_BLK_SECTOR_LEN),
        .num_queues = (uint16_t)CONFIG_FIELD(blk, VIRTIO_BLK_F_MQ, num_queues, 1),
        .max_discard_sectors = (uint32_t)CONFIG_FIELD(blk, VIRTIO_BLK_F_DISCARD, max_discard_sectors, 0),
        .max_write_zeroes_sectors = (uint32_t)CONFIG_FIELD(blk, VIRTIO_BLK_F_WRITE_ZEROES, max_write_zeroes_sectors, 0),
        .instar_flags = (uint32_t)INSTAR_FIELD(blk, flags, 0),
        .allocated_len = INSTAR_FIELD(blk, allocated_len, UINT64_MAX),
    };
    config.file_len = INSTAR_FIELD(blk, file_len, config.capacity_sectors * VIRTIO_BLK_SECTOR_LEN);
    return config;
}

static struct config config_read(const struct virtio_blk *blk)
{
    uint32_t generation;
    struct config config;
    do {
        generation = virtio_mmio_config_generation(&blk->mmio);
        config = config_read_once(blk);
        /* Odd: the device is in the middle of a change (abi/virtio_blk.h, SET_LEN). It ends: the device is trusted. */
    } while (generation % 2 != 0 || generation != virtio_mmio_config_generation(&blk->mmio));
    return config;
}

static bool lengths_apply(struct virtio_blk *blk, const struct config *config, struct error *error)
{
    const char *name = blk->mmio.name;
    uint64_t capacity_len;
    if (!checked_multiply(config->capacity_sectors, VIRTIO_BLK_SECTOR_LEN, &capacity_len) ||
        capacity_len > CAPACITY_LEN_MAX) {
        return error_set(error, ERROR_HOST, name, "the device's capacity is %llu sectors",
                         (unsigned long long)config->capacity_sectors);
    }
    if (config->file_len > capacity_len) {
        return error_set(error, ERROR_HOST, name, "the device's file is longer than the device");
    }
    blk->file_len = config->file_len;
    blk->capacity_len = capacity_len;
    return true;
}

static bool config_apply(struct virtio_blk *blk, const struct config *config, struct error *error)
{
    const char *name = blk->mmio.name;
    RETURN_IF_FAILED(lengths_apply(blk, config, error));
    if (!is_power_of_two(config->blk_size) || config->blk_size < VIRTIO_BLK_SECTOR_LEN) {
        return error_set(error, ERROR_HOST, name, "the device's sectors have %u bytes", config->blk_size);
    }
    blk->block_len = config->blk_size;
    blk->segment_len = (uint32_t)min_u64(config->size_max, VIRTIO_BLK_DATA_LEN_MAX);
    blk->segment_count = (uint32_t)min_u64(config->seg_max, VIRTIO_BLK_SEGMENTS_MAX);
    blk->transfer_len = round_down(min_u64((uint64_t)blk->segment_len * blk->segment_count, VIRTIO_BLK_DATA_LEN_MAX),
                                   VIRTIO_BLK_SECTOR_LEN);
    if (blk->transfer_len == 0) {
        return error_set(error, ERROR_HOST, name, "the device takes %u segments of %u bytes", config->seg_max,
                         config->size_max);
    }
    blk->discard_len = (uint64_t)config->max_discard_sectors * VIRTIO_BLK_SECTOR_LEN;
    blk->zeroing_len = (uint64_t)config->max_write_zeroes_sectors * VIRTIO_BLK_SECTOR_LEN;
    blk->is_zeroed = (config->instar_flags & VIRTIO_BLK_INSTAR_ZEROED) != 0;
    blk->is_resizable = (config->instar_flags & VIRTIO_BLK_INSTAR_RESIZABLE) != 0;
    blk->finds_zeros = (config->instar_flags & VIRTIO_BLK_INSTAR_FINDS_ZEROS) != 0;
    blk->is_copy_target = (config->instar_flags & VIRTIO_BLK_INSTAR_COPY_TARGET) != 0;
    blk->allocated_len = config->allocated_len;
    blk->is_read_only = (blk->mmio.features & VIRTIO_BLK_F_RO) != 0;
    return true;
}

static bool open_queue(struct virtio_blk *blk, uint16_t index, const struct virtio_blk_setup *setup,
                       struct error *error)
{
    struct device_queue_setup queue_setup = {
        .index = index,
        .size_max = setup->queue_size != 0 ? setup->queue_size : VIRTQUEUE_SIZE_MAX,
        .parts_max = (uint16_t)(blk->segment_count + 2), /* with header and status */
        .rings = setup->rings,
        .arena = setup->arena,
    };
    return device_queue_open(&blk->mmio, &queue_setup, &blk->queues[index], error);
}

bool virtio_blk_open(struct virtio_blk *blk, const struct virtio_blk_setup *setup, struct error *error)
{
    *blk = (struct virtio_blk){.poll_ticks = device_queue_poll_ticks(setup->tsc_khz)};
    struct virtio_mmio_open open = {
        .name = setup->name,
        .registers_gpa = setup->registers_gpa,
        .device_id = VIRTIO_DEVICE_ID_BLOCK,
        .features = {ACCEPTED_FEATURES, REQUIRED_FEATURES},
        .memory = setup->rings,
    };
    RETURN_IF_FAILED(virtio_mmio_open(&blk->mmio, &open, error));
    struct config config = config_read(blk);
    if (setup->segment_count != 0) {
        config.seg_max = (uint32_t)min_u64(config.seg_max, setup->segment_count);
    }
    RETURN_IF_FAILED(config_apply(blk, &config, error));
    uint64_t wanted = min_u64(setup->queue_count, VIRTIO_BLK_QUEUES_MAX);
    blk->queue_count = (uint16_t)min_u64(wanted, max_u64(config.num_queues, 1));
    for (uint16_t i = 0; i < blk->queue_count; i++) {
        RETURN_IF_FAILED(open_queue(blk, i, setup, error));
    }
    return virtio_mmio_start(&blk->mmio, error);
}

bool virtio_blk_lengths_refresh(struct virtio_blk *blk, struct error *error)
{
    struct config config = config_read(blk);
    return lengths_apply(blk, &config, error);
}

static bool any_has_used(struct virtio_blk *const *blks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint16_t k = 0; k < blks[i]->queue_count; k++) {
            if (virtqueue_has_used(&blks[i]->queues[k])) {
                return true;
            }
        }
    }
    return false;
}

static bool poll_any(struct virtio_blk *const *blks, uint32_t count)
{
    uint64_t start = platform_ticks();
    while (!any_has_used(blks, count)) {
        if (platform_ticks() - start >= blks[0]->poll_ticks) {
            return false;
        }
        platform_relax();
    }
    return true;
}

static void for_each_queue(struct virtio_blk *const *blks, uint32_t count, void (*action)(struct virtqueue *queue))
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint16_t k = 0; k < blks[i]->queue_count; k++) {
            action(&blks[i]->queues[k]);
        }
    }
}

bool virtio_blk_wait_any(struct virtio_blk *const *blks, uint32_t count, struct error *error)
{
    /* Nothing in the protocol bounds this wait: the host ends a job whose device does not answer. */
    while (!poll_any(blks, count)) {
        for (uint32_t i = 0; i < count; i++) {
            RETURN_IF_FAILED(virtio_mmio_check(&blks[i]->mmio, error));
        }
        for_each_queue(blks, count, virtqueue_arm);
        if (!any_has_used(blks, count)) {
            platform_wait(WAIT_COMPLETION);
        }
        for_each_queue(blks, count, virtqueue_disarm);
    }
    return true;
}

bool virtio_blk_execute(struct virtio_blk *blk, uint16_t queue_index, struct virtio_blk_request *request,
                        struct error *error)
{
    struct virtio_blk *const blks[] = {blk};
    virtio_blk_kick(blk, queue_index);
    while (!request->is_done) {
        struct virtio_blk_request *reaped;
        RETURN_IF_FAILED(virtio_blk_wait_any(blks, 1, error));
        RETURN_IF_FAILED(virtio_blk_reap(blk, queue_index, &reaped, error));
    }
    return virtio_blk_check(blk, request, error);
}
