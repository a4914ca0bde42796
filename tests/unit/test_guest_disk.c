/* SPDX-License-Identifier: Apache-2.0 */
#include "test_guest_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/layout.h"
#include "base/checked.h"

/* One request as the device sees it. */
struct chain {
    const struct virtio_blk_request_header *header;
    struct {
        uint8_t *data;
        uint64_t len;
        bool is_writable;
    } segments[FAKE_QUEUE_MAX];
    uint32_t segment_count; /* without header and status */
    uint64_t data_len;
    uint8_t *status;
};

void fake_disk_config(struct fake_disk *disk, uint64_t off, void *target, uint64_t len)
{
    uint8_t config[0x200] = {0};
    memcpy(config, &disk->config, sizeof(disk->config));
    memcpy(config + VIRTIO_BLK_INSTAR_CONFIG_OFF, &disk->instar, sizeof(disk->instar));
    assert_true(off >= VIRTIO_MMIO_CONFIG && range_is_within(off - VIRTIO_MMIO_CONFIG, len, sizeof(config)));
    assert_int_equal(off % len, 0);
    memcpy(target, config + off - VIRTIO_MMIO_CONFIG, len);
}

uint32_t fake_disk_read_register(struct fake_disk *disk, uint64_t off)
{
    uint32_t value = 0;
    switch (off) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return VIRTIO_MMIO_MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VIRTIO_MMIO_VERSION_2;
    case VIRTIO_MMIO_DEVICE_ID:
        return VIRTIO_DEVICE_ID_BLOCK;
    case VIRTIO_MMIO_VENDOR_ID:
        return disk->is_ours ? VIRTIO_MMIO_VENDOR_INSTAR : 0;
    case VIRTIO_MMIO_INSTAR_FEATURES_LOW:
    case VIRTIO_MMIO_INSTAR_FEATURES_HIGH:
        assert_true(disk->is_ours);
        return (uint32_t)(disk->features >> (off == VIRTIO_MMIO_INSTAR_FEATURES_HIGH ? 32 : 0));
    case VIRTIO_MMIO_INSTAR_QUEUE_NUM_MAX:
        assert_true(disk->is_ours);
        return disk->queue_num_max;
    case VIRTIO_MMIO_INSTAR_DOORBELL:
        assert_true(disk->is_ours);
        return disk->is_late ? (uint32_t)LAYOUT_LATE_DOORBELL_GPA : 0;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return (uint32_t)(disk->features >> (32 * disk->device_features_sel));
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return disk->queue_num_max;
    case VIRTIO_MMIO_STATUS:
        return disk->status;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return 0;
    default:
        fake_disk_config(disk, off, &value, sizeof(value));
        return value;
    }
}

static void set_half(uint64_t *target, bool is_high, uint32_t value)
{
    uint32_t shift = is_high ? 32 : 0;
    *target = (*target & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

static void set_status(struct fake_disk *disk, uint32_t value)
{
    /* Steps are taken in their order (3.1.1), and a bit that is set stays until the reset. */
    static const uint32_t steps[] = {VIRTIO_STATUS_ACKNOWLEDGE, VIRTIO_STATUS_DRIVER, VIRTIO_STATUS_FEATURES_OK,
                                     VIRTIO_STATUS_DRIVER_OK};
    for (uint32_t i = 1; i < ARRAY_COUNT(steps); i++) {
        assert_true((value & steps[i]) == 0 || (value & steps[i - 1]) != 0);
    }
    assert_true(value == 0 || (disk->status & ~value) == 0);
    if ((value & VIRTIO_STATUS_DRIVER_OK) != 0) {
        assert_true(disk->queue_ready);
    }
    if (disk->refuses_features) {
        value &= ~VIRTIO_STATUS_FEATURES_OK;
    }
    disk->status = value;
}

static void take_setup(struct fake_disk *disk, uint32_t data_off)
{
    assert_true(disk->is_ours);
    const struct virtio_mmio_setup *setup = fake_memory_at(data_off, sizeof(*setup));
    assert_int_equal(setup->features & ~disk->features, 0);
    disk->driver_features = setup->features;
    assert_true(setup->queue_count >= 1);
    const struct virtio_mmio_setup_queue *queue = &setup->queues[0];
    for (uint32_t i = 1; i < setup->queue_count; i++) {
        assert_int_equal(setup->queues[i].size, 0);
    }
    assert_true(is_power_of_two(queue->size) && queue->size <= disk->queue_num_max);
    disk->queue_num = queue->size;
    disk->queue_gpas[0] = queue->desc_gpa;
    disk->queue_gpas[1] = queue->driver_gpa;
    disk->queue_gpas[2] = queue->device_gpa;
    disk->queue_ready = true;
    set_status(disk,
               VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}

void fake_disk_write_register(struct fake_disk *disk, uint64_t off, uint32_t value)
{
    switch (off) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        disk->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        disk->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        set_half(&disk->driver_features, disk->driver_features_sel == 1, value);
        assert_int_equal(disk->driver_features & ~disk->features, 0);
        break;
    case VIRTIO_MMIO_STATUS:
        set_status(disk, value);
        break;
    case VIRTIO_MMIO_INSTAR_SETUP:
        take_setup(disk, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        assert_int_equal(value, 0);
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
        assert_true(is_power_of_two(value) && value <= disk->queue_num_max);
        disk->queue_num = value;
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        disk->queue_ready = value == 1;
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        disk->is_awake = true;
        disk->notifications++;
        break;
    default:
        assert_true(off >= VIRTIO_MMIO_QUEUE_DESC_LOW && off <= VIRTIO_MMIO_QUEUE_DEVICE_HIGH);
        set_half(&disk->queue_gpas[(off - VIRTIO_MMIO_QUEUE_DESC_LOW) / 16], off % 16 == 4, value);
        break;
    }
}

static const struct virtq_desc *disk_desc(const struct fake_disk *disk)
{
    return fake_memory(disk->queue_gpas[0], VIRTQ_DESC_LEN(disk->queue_num));
}

static const struct virtq_avail *disk_avail(const struct fake_disk *disk)
{
    return fake_memory(disk->queue_gpas[1], VIRTQ_AVAIL_LEN(disk->queue_num));
}

static struct virtq_used *disk_used(const struct fake_disk *disk)
{
    return fake_memory(disk->queue_gpas[2], VIRTQ_USED_LEN(disk->queue_num));
}

static void chain_read(const struct fake_disk *disk, uint16_t head, struct chain *chain)
{
    const struct virtq_desc *indirect = &disk_desc(disk)[head];
    assert_int_equal(indirect->flags, VIRTQ_DESC_F_INDIRECT);
    assert_int_equal(indirect->len % sizeof(struct virtq_desc), 0);
    uint32_t count = (uint32_t)(indirect->len / sizeof(struct virtq_desc));
    assert_true(count >= 2 && count <= FAKE_QUEUE_MAX);
    const struct virtq_desc *table = fake_memory(indirect->addr, indirect->len);
    memset(chain, 0, sizeof(*chain));
    bool was_writable = false;
    for (uint32_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        bool is_writable = (table[i].flags & VIRTQ_DESC_F_WRITE) != 0;
        void *memory = fake_memory(table[i].addr, table[i].len);
        assert_int_equal((table[i].flags & VIRTQ_DESC_F_NEXT) != 0, !is_last);
        assert_true(is_last || table[i].next == i + 1);
        assert_true(is_writable || !was_writable);
        was_writable = is_writable;
        if (i == 0) {
            assert_true(!is_writable && table[i].len == sizeof(*chain->header));
            chain->header = memory;
        } else if (is_last) {
            assert_true(is_writable && table[i].len == 1);
            chain->status = memory;
        } else {
            assert_true(table[i].len > 0 && table[i].len <= disk->config.size_max);
            uint32_t k = chain->segment_count++;
            chain->segments[k].data = memory;
            chain->segments[k].len = table[i].len;
            chain->segments[k].is_writable = is_writable;
            chain->data_len += table[i].len;
        }
    }
    assert_true(chain->segment_count <= disk->config.seg_max);
}

static void check_bounds(const struct fake_disk *disk, uint64_t off, uint64_t len)
{
    assert_int_equal(len % VIRTIO_BLK_SECTOR_LEN, 0);
    assert_true(len > 0 && range_is_within(off, len, disk->config.capacity * VIRTIO_BLK_SECTOR_LEN));
}

static void transfer(struct fake_disk *disk, const struct chain *chain, bool is_read)
{
    uint64_t off = chain->header->sector * VIRTIO_BLK_SECTOR_LEN;
    check_bounds(disk, off, chain->data_len);
    for (uint32_t i = 0; i < chain->segment_count; i++) {
        assert_int_equal(chain->segments[i].is_writable, is_read);
        if (is_read) {
            memcpy(chain->segments[i].data, disk->data + off, chain->segments[i].len);
        } else {
            memcpy(disk->data + off, chain->segments[i].data, chain->segments[i].len);
        }
        off += chain->segments[i].len;
    }
    *(is_read ? &disk->read_len : &disk->written_len) += chain->data_len;
    disk->longest_len = max_u64(disk->longest_len, chain->data_len);
    disk->segments_max = (uint32_t)max_u64(disk->segments_max, chain->segment_count);
}

static struct virtio_blk_range chain_range(const struct chain *chain)
{
    struct virtio_blk_range range;
    assert_int_equal(chain->segment_count, 1);
    assert_int_equal(chain->segments[0].len, sizeof(range));
    memcpy(&range, chain->segments[0].data, sizeof(range));
    return range;
}

static void zero(struct fake_disk *disk, const struct chain *chain)
{
    struct virtio_blk_range range = chain_range(chain);
    uint64_t len = range.num_sectors * VIRTIO_BLK_SECTOR_LEN;
    check_bounds(disk, range.sector * VIRTIO_BLK_SECTOR_LEN, len);
    assert_true(range.num_sectors <= disk->config.max_write_zeroes_sectors);
    assert_int_equal(range.flags, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    memset(disk->data + range.sector * VIRTIO_BLK_SECTOR_LEN, 0, len);
    disk->zeroed_len += len;
}

/* Writes to the chain's data, wherever its segments lie. */
static void scatter(const struct chain *chain, uint64_t off, const void *data, uint64_t len)
{
    const uint8_t *next = data;
    for (uint32_t i = 0; i < chain->segment_count && len > 0; i++) {
        uint64_t segment_len = chain->segments[i].len;
        assert_true(chain->segments[i].is_writable);
        if (off >= segment_len) {
            off -= segment_len;
            continue;
        }
        uint64_t part_len = min_u64(len, segment_len - off);
        memcpy(chain->segments[i].data + off, next, part_len);
        off = 0;
        next += part_len;
        len -= part_len;
    }
    assert_int_equal(len, 0);
}

/* Returns the length of the answer. */
static uint64_t answer_extents(struct fake_disk *disk, const struct chain *chain)
{
    const struct virtio_blk_extent all = {.len = disk->instar.file_len, .kind = VIRTIO_BLK_EXTENT_DATA};
    const struct virtio_blk_extent *extents = disk->extent_count > 0 ? disk->extents : &all;
    uint64_t count = disk->extent_count > 0 ? disk->extent_count : 1;
    uint64_t off = chain->header->sector * VIRTIO_BLK_SECTOR_LEN;
    struct virtio_blk_extents_head head = {0};
    uint64_t room = min_u64((chain->data_len - sizeof(head)) / sizeof(all), disk->extents_per_answer);
    for (uint64_t i = 0; i < count && head.count < room; i++) {
        struct virtio_blk_extent extent = extents[i];
        uint64_t end_off = extent.off + extent.len;
        if (end_off <= off) {
            continue;
        }
        extent.off = max_u64(extent.off, off);
        extent.len = end_off - extent.off;
        scatter(chain, sizeof(head) + head.count * sizeof(extent), &extent, sizeof(extent));
        head.count++;
    }
    scatter(chain, 0, &head, sizeof(head));
    disk->extent_requests++;
    return sizeof(head) + head.count * sizeof(all);
}

/* The file gets another length. */
static void set_len(struct fake_disk *disk, const struct chain *chain)
{
    uint64_t len;
    assert_true((disk->instar.flags & VIRTIO_BLK_INSTAR_RESIZABLE) != 0);
    assert_int_equal(chain->segment_count, 1);
    assert_int_equal(chain->segments[0].len, sizeof(len));
    memcpy(&len, chain->segments[0].data, sizeof(len));
    uint64_t old_len = disk->config.capacity * VIRTIO_BLK_SECTOR_LEN;
    uint64_t new_len = round_up(len, VIRTIO_BLK_SECTOR_LEN);
    disk->data = realloc(disk->data, new_len + 1);
    assert_non_null(disk->data);
    memset(disk->data + min_u64(old_len, new_len), 0, new_len - min_u64(old_len, new_len));
    disk->config.capacity = new_len / VIRTIO_BLK_SECTOR_LEN;
    disk->instar.file_len = len;
}

static bool is_to_fail(const struct fake_disk *disk, const struct chain *chain)
{
    uint32_t type = chain->header->type;
    if (disk->fail_status == 0 || type != disk->fail_type) {
        return false;
    }
    uint64_t off = chain->header->sector * VIRTIO_BLK_SECTOR_LEN;
    uint64_t len = chain->data_len;
    if (type == VIRTIO_BLK_T_WRITE_ZEROES || type == VIRTIO_BLK_T_DISCARD) {
        off = chain_range(chain).sector * VIRTIO_BLK_SECTOR_LEN;
        len = chain_range(chain).num_sectors * VIRTIO_BLK_SECTOR_LEN;
    }
    return type == VIRTIO_BLK_T_FLUSH || (off <= disk->fail_off && disk->fail_off < off + len);
}

/* Returns the bytes that the device wrote. */
static uint32_t execute(struct fake_disk *disk, const struct chain *chain)
{
    uint64_t written_len = 0;
    if (is_to_fail(disk, chain)) {
        *chain->status = disk->fail_status;
        return 1;
    }
    if (chain->header->type < ARRAY_COUNT(disk->requests)) {
        disk->requests[chain->header->type]++;
    }
    switch (chain->header->type) {
    case VIRTIO_BLK_T_IN:
        transfer(disk, chain, true);
        written_len = chain->data_len;
        break;
    case VIRTIO_BLK_T_OUT:
        transfer(disk, chain, false);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        zero(disk, chain);
        break;
    case VIRTIO_BLK_T_DISCARD:
        assert_int_equal(chain_range(chain).flags, 0);
        break;
    case VIRTIO_BLK_T_GET_ID:
        memcpy(chain->segments[0].data, "a disk\0\0\0\0\0\0\0\0\0\0\0\0\0\0", VIRTIO_BLK_ID_LEN);
        written_len = VIRTIO_BLK_ID_LEN;
        break;
    case VIRTIO_BLK_T_INSTAR_SET_LEN:
        set_len(disk, chain);
        break;
    case VIRTIO_BLK_T_INSTAR_EXTENTS:
        written_len = answer_extents(disk, chain);
        break;
    default:
        assert_int_equal(chain->header->type, VIRTIO_BLK_T_FLUSH);
        break;
    }
    *chain->status = VIRTIO_BLK_S_OK;
    return (uint32_t)written_len + 1;
}

static void use(struct fake_disk *disk, uint16_t head, uint32_t written_len)
{
    struct virtq_used *used = disk_used(disk);
    const struct virtq_avail *avail = disk_avail(disk);
    used->ring[disk->used_idx % disk->queue_num] = (struct virtq_used_elem){head, written_len};
    disk->used_idx++;
    __atomic_store_n(&used->idx, disk->used_idx, __ATOMIC_RELEASE);
    bool is_wanted = (avail->flags & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    if ((disk->driver_features & VIRTIO_F_EVENT_IDX) != 0) {
        assert_int_equal(avail->flags, 0);
        is_wanted = virtq_event_passed(avail->ring[disk->queue_num], disk->used_idx, (uint16_t)(disk->used_idx - 1));
    }
    if (is_wanted) {
        fake_machine_signal();
        disk->signals++;
    }
}

/* Fetches what was published. When that is nothing, the device sleeps until it is notified. */
static void fetch(struct fake_disk *disk)
{
    const struct virtq_avail *avail = disk_avail(disk);
    while (disk->avail_idx != __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE)) {
        assert_true(disk->pending_count < disk->queue_num);
        disk->pending[disk->pending_count++] = avail->ring[disk->avail_idx % disk->queue_num];
        disk->avail_idx++;
    }
    disk->is_awake = disk->pending_count > 0;
    if ((disk->driver_features & VIRTIO_F_EVENT_IDX) == 0) {
        disk_used(disk)->flags = disk->is_awake ? VIRTQ_USED_F_NO_NOTIFY : 0;
    }
    if (disk->is_awake) {
        return;
    }
    if ((disk->driver_features & VIRTIO_F_EVENT_IDX) != 0) {
        uint16_t *avail_event = (uint16_t *)(void *)&disk_used(disk)->ring[disk->queue_num];
        *avail_event = disk->avail_idx;
    }
}

bool fake_disk_work(struct fake_disk *disk)
{
    if (!disk->is_awake || (disk->status & VIRTIO_STATUS_DRIVER_OK) == 0) {
        return false;
    }
    fetch(disk);
    if (disk->pending_count == 0) {
        return false;
    }
    for (uint64_t count = 1 + fake_random() % disk->pending_count; count > 0; count--) {
        struct chain chain;
        uint32_t index = (uint32_t)(fake_random() % disk->pending_count);
        uint16_t head = disk->pending[index];
        disk->pending[index] = disk->pending[--disk->pending_count];
        chain_read(disk, head, &chain);
        use(disk, head, execute(disk, &chain));
    }
    return true;
}
