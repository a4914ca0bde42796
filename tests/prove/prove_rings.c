/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables and rings of a virtqueue, by Eva: with every size of a queue, indirect tables of up to INDIRECT_MAX
 * descriptors, all anywhere in data memory of DATA_LEN bytes or outside of it, and memory that has another content
 * whenever it is read, nothing outside of data memory is read or written. The walk between two of them is
 * prove_chain.c's.
 */
#include "tests/prove/prove.h"

#include "host/devices/guest_order.h"
#include "host/devices/virtqueue_device.h"

#include "base/checked.h"

#include <inttypes.h>
#include <string.h>

#define DATA_LEN 8192u
#define INDIRECT_MAX 16u

static uint8_t data[DATA_LEN] __attribute__((aligned(16)));

void error_fill(struct error *error, enum error_kind kind, const char *place, const char *format, ...)
{
    (void)place;
    (void)format;
    error->kind = kind;
}

/* Of each length alone: what may be read of a table depends on it. */
bool guest_memory_data(const struct guest_memory *memory, uint64_t gpa, uint64_t len, uint8_t **ret_host)
{
    /*@ split len; */
    if (gpa < LAYOUT_DATA_GPA || len > memory->data_len) {
        return false;
    }
    uint64_t off = gpa - LAYOUT_DATA_GPA;
    if (off > memory->data_len - len) {
        return false;
    }
    *ret_host = memory->data + off;
    return true;
}

#include "structures.h"

/* What prove_chain.c proves of it needs no more than this. */
static bool chain_walk(const struct virtqueue *queue, struct walk *walk, struct virtq_chain *chain, struct error *error)
{
    (void)queue;
    (void)chain;
    (void)error;
    /*@ assert table: \valid_read(walk->table + (0 .. walk->count - 1)); */
    /*@ assert counts: 1 <= walk->count <= VIRTQUEUE_SIZE_MAX && walk->steps == 0 && !walk->is_indirect; */
    return any_u16() & 1;
}

#include "extracted.h"

static void rings_use(uint32_t size)
{
    static struct virtq_chain chain;
    struct error error = {0};
    struct guest_memory memory = {.data = data, .data_len = DATA_LEN};
    struct virtqueue queue = {
        .memory = &memory,
        .has_event_idx = any_u16() & 1,
        .has_indirect = true,
        .size = size,
        .desc_gpa = any_u64(),
        .driver_gpa = any_u64(),
        .device_gpa = any_u64(),
    };
    if (!virtqueue_enable(&queue, &error)) {
        return;
    }
    queue.avail_next = any_u16();
    queue.used_next = any_u16();
    queue.used_told = any_u16();
    unsigned int available;
    if (virtqueue_available(&queue, &available, &error)) {
        /*@ assert as_many_as_the_queue_has: available <= size; */
        if (virtqueue_take(&queue, &chain, &error)) {
            /*@ assert head: chain.head < size; */
        }
    }
    virtqueue_put(&queue, any_u16(), any_u32());
    (void)virtqueue_publish(&queue);
    virtqueue_want_kicks(&queue);
}

/* A descriptor that names a table; the bound is on its length. */
static void indirect_use(uint32_t len)
{
    struct error error = {0};
    struct guest_memory memory = {.data = data, .data_len = DATA_LEN};
    struct virtqueue queue = {.memory = &memory, .has_indirect = any_u16() & 1};
    struct virtq_desc desc = {.addr = any_u64(), .len = len, .flags = any_u16(), .next = any_u16()};
    const struct virtq_desc *table;
    uint32_t count;
    if (indirect_table_resolve(&queue, &desc, &table, &count, &error)) {
        /*@ assert table: \valid_read(table + (0 .. count - 1)); */
        /*@ assert count: 1 <= count <= VIRTQUEUE_SIZE_MAX; */
        (void)table;
    }
}

void prove(void)
{
    struct error error = {0};
    struct virtqueue queue = {.size = any_u32()};
    if (queue.size == 0 || queue.size > VIRTQUEUE_SIZE_MAX) {
        bool is_enabled = virtqueue_enable(&queue, &error);
        /*@ assert refused: !is_enabled; */
        (void)is_enabled;
    }
    /*@ loop unroll 9; */
    for (uint32_t size = 1; size <= VIRTQUEUE_SIZE_MAX; size *= 2) {
        rings_use(size);
    }
    /*@ loop unroll 300; */
    for (uint32_t len = 0; len <= INDIRECT_MAX * sizeof(struct virtq_desc); len++) {
        indirect_use(len);
    }
}
