/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtqueue_device.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "host/devices/guest_order.h"

static bool broken(struct error *error, const char *what)
{
    return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: %s", what);
}

/*
 * Shared 16-bit fields. The compiler must neither repeat nor split these accesses; 16 bits never tear on
 * x86-64.
 */
static uint16_t shared_load(const uint16_t *field)
{
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static void shared_store(uint16_t *field, uint16_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

/* Behind the available ring: up to which used index the guest wants to sleep. */
static const uint16_t *used_event(const struct virtqueue *queue)
{
    return &queue->avail->ring[queue->size];
}

/* Behind the used ring: up to which available index we want to sleep. */
static uint16_t *avail_event(const struct virtqueue *queue)
{
    return (uint16_t *)&queue->used->ring[queue->size];
}

static bool part_resolve(const struct virtqueue *queue, uint64_t gpa, uint64_t len, uint64_t align, const char *what,
                         uint8_t **ret_host, struct error *error)
{
    if (gpa % align != 0) {
        return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: %s at 0x%" PRIx64 " is not aligned", what, gpa);
    }
    if (!guest_memory_data(queue->memory, gpa, len, ret_host)) {
        return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: %s at 0x%" PRIx64 " is outside of data memory",
                         what, gpa);
    }
    return true;
}

bool virtqueue_enable(struct virtqueue *queue, struct error *error)
{
    if (!is_power_of_two(queue->size) || queue->size > VIRTQUEUE_SIZE_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: size %u is not a power of two up to %u",
                         queue->size, VIRTQUEUE_SIZE_MAX);
    }
    uint8_t *desc;
    uint8_t *avail;
    uint8_t *used;
    RETURN_IF_FAILED(part_resolve(queue, queue->desc_gpa, VIRTQ_DESC_LEN(queue->size), VIRTQ_DESC_ALIGN,
                                  "descriptor table", &desc, error));
    RETURN_IF_FAILED(part_resolve(queue, queue->driver_gpa, VIRTQ_AVAIL_LEN(queue->size), VIRTQ_AVAIL_ALIGN,
                                  "available ring", &avail, error));
    RETURN_IF_FAILED(part_resolve(queue, queue->device_gpa, VIRTQ_USED_LEN(queue->size), VIRTQ_USED_ALIGN, "used ring",
                                  &used, error));
    queue->desc = (const struct virtq_desc *)desc;
    queue->avail = (struct virtq_avail *)avail;
    queue->used = (struct virtq_used *)used;
    queue->avail_next = 0;
    queue->used_next = 0;
    queue->used_told = 0;
    queue->is_enabled = true;
    return true;
}

void virtqueue_reset(struct virtqueue *queue)
{
    *queue = (struct virtqueue){.memory = queue->memory};
}

bool virtqueue_available(const struct virtqueue *queue, unsigned int *ret_available, struct error *error)
{
    uint16_t waiting = (uint16_t)(shared_load(&queue->avail->idx) - queue->avail_next);
    if (waiting > queue->size) {
        return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: the available index is %u ahead in a queue of %u",
                         waiting, queue->size);
    }
    guest_order_acquire(queue->memory);
    *ret_available = waiting;
    return true;
}

/* Fetches a descriptor in two halves, each read once. */
static struct virtq_desc desc_fetch(const struct virtq_desc *shared)
{
    const uint64_t *halves = (const uint64_t *)shared;
    uint64_t copy[2] = {__atomic_load_n(&halves[0], __ATOMIC_RELAXED), __atomic_load_n(&halves[1], __ATOMIC_RELAXED)};
    struct virtq_desc desc;
    memcpy(&desc, copy, sizeof(desc));
    return desc;
}

/* Appends the buffer of a descriptor to the chain. */
static bool buffer_add(const struct virtqueue *queue, const struct virtq_desc *desc, struct virtq_chain *chain,
                       struct error *error)
{
    bool is_writable = (desc->flags & VIRTQ_DESC_F_WRITE) != 0;
    if (!is_writable && chain->writable_count > 0) {
        return broken(error, "a readable descriptor follows a writable one");
    }
    if (desc->len == 0) {
        return broken(error, "a descriptor of no length");
    }
    if (chain->readable_count + chain->writable_count == VIRTQUEUE_SIZE_MAX) {
        return broken(error, "a chain of more descriptors than any queue has");
    }
    uint8_t *host;
    if (!guest_memory_data(queue->memory, desc->addr, desc->len, &host)) {
        return error_set(error, ERROR_GUEST, NULL,
                         "broken virtqueue: a descriptor points to 0x%" PRIx64 " (%u bytes), outside of data memory",
                         desc->addr, desc->len);
    }
    chain->buffers[chain->readable_count + chain->writable_count] = (struct iovec){host, desc->len};
    *(is_writable ? &chain->writable_count : &chain->readable_count) += 1;
    return true;
}

/* The table that a descriptor with VIRTQ_DESC_F_INDIRECT names (2.7.5.3). */
static bool indirect_table_resolve(const struct virtqueue *queue, const struct virtq_desc *desc,
                                   const struct virtq_desc **ret_table, uint32_t *ret_count, struct error *error)
{
    if (!queue->has_indirect) {
        return broken(error, "an indirect descriptor, which was not negotiated");
    }
    if ((desc->flags & VIRTQ_DESC_F_NEXT) != 0) {
        return broken(error, "an indirect descriptor has a next one");
    }
    if (desc->len == 0 || desc->len % sizeof(struct virtq_desc) != 0 ||
        desc->len / sizeof(struct virtq_desc) > VIRTQUEUE_SIZE_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: an indirect table of %u bytes", desc->len);
    }
    uint8_t *host;
    RETURN_IF_FAILED(part_resolve(queue, desc->addr, desc->len, VIRTQ_DESC_ALIGN, "an indirect table", &host, error));
    *ret_table = (const struct virtq_desc *)host;
    *ret_count = desc->len / (uint32_t)sizeof(struct virtq_desc);
    return true;
}

/* A table of descriptors, and where in it a walk stands. */
struct walk {
    const struct virtq_desc *table;
    uint32_t count; /* entries of the table */
    uint32_t steps; /* descriptors visited in it */
    bool is_indirect;
    struct virtq_desc desc; /* the present one */
};

/* Zero or more direct descriptors may be followed by one that names an indirect table (2.7.5.3.2), not deeper. */
static bool walk_enter_indirect(const struct virtqueue *queue, struct walk *walk, struct error *error)
{
    if (walk->is_indirect) {
        return broken(error, "an indirect table within an indirect table");
    }
    RETURN_IF_FAILED(indirect_table_resolve(queue, &walk->desc, &walk->table, &walk->count, error));
    walk->is_indirect = true;
    walk->steps = 0;
    walk->desc = desc_fetch(&walk->table[0]);
    return true;
}

/*
 * Walks a chain. Ends: it visits each entry of a table once at most, so one of more steps than entries loops; and
 * there are two tables at most.
 */
static bool chain_walk(const struct virtqueue *queue, struct walk *walk, struct virtq_chain *chain, struct error *error)
{
    for (;;) {
        if ((walk->desc.flags & VIRTQ_DESC_F_INDIRECT) != 0) {
            RETURN_IF_FAILED(walk_enter_indirect(queue, walk, error));
            continue;
        }
        if (++walk->steps > walk->count) {
            return broken(error, "a chain of descriptors that loops");
        }
        RETURN_IF_FAILED(buffer_add(queue, &walk->desc, chain, error));
        if ((walk->desc.flags & VIRTQ_DESC_F_NEXT) == 0) {
            return true;
        }
        if (walk->desc.next >= walk->count) {
            return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: descriptor %u of a table of %u",
                             walk->desc.next, walk->count);
        }
        walk->desc = desc_fetch(&walk->table[walk->desc.next]);
    }
}

bool virtqueue_take(struct virtqueue *queue, struct virtq_chain *ret_chain, struct error *error)
{
    uint16_t head = shared_load(&queue->avail->ring[queue->avail_next % queue->size]);
    if (head >= queue->size) {
        return error_set(error, ERROR_GUEST, NULL, "broken virtqueue: head %u in a queue of %u", head, queue->size);
    }
    queue->avail_next++;
    ret_chain->head = head;
    ret_chain->readable_count = 0;
    ret_chain->writable_count = 0;
    struct walk walk = {.table = queue->desc, .count = queue->size, .desc = desc_fetch(&queue->desc[head])};
    return chain_walk(queue, &walk, ret_chain, error);
}

void virtqueue_put(struct virtqueue *queue, uint16_t head, uint32_t written_len)
{
    queue->used->ring[queue->used_next % queue->size] = (struct virtq_used_elem){.id = head, .len = written_len};
    queue->used_next++;
}

bool virtqueue_publish(struct virtqueue *queue)
{
    guest_order_release(queue->memory);
    shared_store(&queue->used->idx, queue->used_next);
    /* The guest writes its event, then looks at idx; we write idx, then look at its event (2.7.13.4). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint16_t before = queue->used_told;
    queue->used_told = queue->used_next;
    if (queue->has_event_idx) {
        return virtq_event_passed(shared_load(used_event(queue)), queue->used_next, before);
    }
    return (shared_load(&queue->avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
}

void virtqueue_want_kicks(struct virtqueue *queue)
{
    if (queue->has_event_idx) {
        shared_store(avail_event(queue), queue->avail_next);
    }
    /* The guest writes the available index, then looks at our event; we write it, then look at the index. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
