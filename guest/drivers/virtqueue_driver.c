/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/virtqueue_driver.h"

#include <stddef.h>

/* The parts of a queue lie on cache lines of their own, as different sides write them. */
#define CACHE_LINE_LEN 64u

static uint64_t address_of(const void *memory)
{
    return (uint64_t)(uintptr_t)memory;
}

/* Behind the available ring: the driver tells when it wants to be signalled (2.7.6). */
static uint16_t *used_event(const struct virtqueue *queue)
{
    return &queue->avail->ring[queue->size];
}

/* Behind the used ring: the device tells when it wants to be notified (2.7.8). */
static const uint16_t *avail_event(const struct virtqueue *queue)
{
    return (const uint16_t *)(const void *)&queue->used->ring[queue->size];
}

/* Every descriptor points to its table for good; only the table's length changes. */
static void link_descriptors(struct virtqueue *queue)
{
    for (uint16_t i = 0; i < queue->size; i++) {
        struct virtq_desc *table = queue->tables + (size_t)i * queue->table_len;
        queue->desc[i] = (struct virtq_desc){.addr = address_of(table), .flags = VIRTQ_DESC_F_INDIRECT};
        for (uint16_t k = 0; k < queue->table_len; k++) {
            table[k].next = (uint16_t)(k + 1);
        }
        queue->heads[i] = (struct virtqueue_head){.next_free = (uint16_t)(i + 1)};
    }
}

bool virtqueue_init(struct virtqueue *queue, const struct virtqueue_setup *setup)
{
    uint64_t tables_len = sizeof(struct virtq_desc) * setup->size * setup->parts_max;
    uint64_t heads_len = sizeof(struct virtqueue_head) * setup->size;
    *queue = (struct virtqueue){
        .desc = arena_allocate(setup->rings, VIRTQ_DESC_LEN(setup->size), CACHE_LINE_LEN),
        .avail = arena_allocate(setup->rings, VIRTQ_AVAIL_LEN(setup->size), CACHE_LINE_LEN),
        .used = arena_allocate(setup->rings, VIRTQ_USED_LEN(setup->size), CACHE_LINE_LEN),
        .tables = arena_allocate(setup->arena, tables_len, CACHE_LINE_LEN),
        .heads = arena_allocate(setup->arena, heads_len, CACHE_LINE_LEN),
        .size = setup->size,
        .table_len = setup->parts_max,
        .free_count = setup->size,
        .event_idx = setup->event_idx,
    };
    if (queue->desc == NULL || queue->avail == NULL || queue->used == NULL || queue->tables == NULL ||
        queue->heads == NULL) {
        return false;
    }
    link_descriptors(queue);
    virtqueue_disarm(queue);
    return true;
}

void virtqueue_add(struct virtqueue *queue, const struct virtqueue_part *parts, uint16_t count, void *token)
{
    uint16_t index = queue->first_free;
    struct virtqueue_head *head = &queue->heads[index];
    struct virtq_desc *table = queue->tables + (size_t)index * queue->table_len;
    queue->first_free = head->next_free;
    queue->free_count--;
    head->token = token;
    head->writable_len = 0;

    for (uint16_t i = 0; i < count; i++) {
        unsigned int flags = i + 1u < count ? VIRTQ_DESC_F_NEXT : 0;
        if (parts[i].device_writes) {
            flags |= VIRTQ_DESC_F_WRITE;
            head->writable_len += parts[i].len;
        }
        table[i].addr = parts[i].gpa;
        table[i].len = parts[i].len;
        table[i].flags = (uint16_t)flags;
    }
    queue->desc[index].len = (uint32_t)(count * sizeof(struct virtq_desc));
    __atomic_store_n(&queue->avail->ring[queue->added_idx % queue->size], index, __ATOMIC_RELAXED);
    queue->added_idx++;
}

bool virtqueue_publish(struct virtqueue *queue)
{
    uint16_t before = queue->published_idx;
    if (queue->added_idx == before) {
        return false;
    }
    __atomic_store_n(&queue->avail->idx, queue->added_idx, __ATOMIC_RELEASE);
    queue->published_idx = queue->added_idx;

    /* The device must see the index before this side decides that it is still awake (2.7.13.4). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (queue->event_idx) {
        uint16_t event = __atomic_load_n(avail_event(queue), __ATOMIC_RELAXED);
        return virtq_event_passed(event, queue->added_idx, before);
    }
    return (__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) & VIRTQ_USED_F_NO_NOTIFY) == 0;
}

bool virtqueue_has_used(const struct virtqueue *queue)
{
    return __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) != queue->taken_idx;
}

enum virtqueue_taken virtqueue_take(struct virtqueue *queue, void **ret_token, uint32_t *ret_written_len)
{
    uint16_t used_idx = __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE);
    if (used_idx == queue->taken_idx) {
        return VIRTQUEUE_EMPTY;
    }
    if ((uint16_t)(used_idx - queue->taken_idx) > virtqueue_in_flight(queue)) {
        return VIRTQUEUE_BROKEN;
    }
    const struct virtq_used_elem *element = &queue->used->ring[queue->taken_idx % queue->size];
    uint32_t index = __atomic_load_n(&element->id, __ATOMIC_RELAXED);
    uint32_t written_len = __atomic_load_n(&element->len, __ATOMIC_RELAXED);
    if (index >= queue->size || queue->heads[index].token == NULL || written_len > queue->heads[index].writable_len) {
        return VIRTQUEUE_BROKEN;
    }
    struct virtqueue_head *head = &queue->heads[index];
    *ret_token = head->token;
    *ret_written_len = written_len;
    head->token = NULL;
    head->next_free = queue->first_free;
    queue->first_free = (uint16_t)index;
    queue->free_count++;
    queue->taken_idx++;
    return VIRTQUEUE_TAKEN;
}

void virtqueue_arm(struct virtqueue *queue)
{
    if (queue->event_idx) {
        __atomic_store_n(used_event(queue), queue->taken_idx, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&queue->avail->flags, (uint16_t)0, __ATOMIC_RELAXED);
    }
    /* The caller's next look at the used ring must not come before the store (2.7.7.1). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void virtqueue_disarm(struct virtqueue *queue)
{
    if (queue->event_idx) {
        /*
         * An event that lies behind is passed only once in 2^16 buffers; that signal finds a driver that
         * does not wait, which does no harm.
         */
        __atomic_store_n(used_event(queue), (uint16_t)(queue->taken_idx - 1), __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&queue->avail->flags, (uint16_t)VIRTQ_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
    }
}
