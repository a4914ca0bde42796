/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/new/qcow2_allocator.h"

#include <string.h>

#include "base/checked.h"
#include "guest/formats/qcow2/layout/qcow2_header.h"

static uint64_t blocks_for(const struct qcow2_allocator *allocator, uint64_t cluster_count)
{
    return divide_up(cluster_count, allocator->block_entries);
}

/* Its length is bounded, as the format's is. */
static bool make_table(struct qcow2_allocator *allocator, struct arena *arena)
{
    /*
     * A block takes a cluster, too, and there are blocks for blocks: two more than would be without them, and 1/16. As
     * much again for what pieces leave free at the end of a block.
     */
    uint64_t count = blocks_for(allocator, allocator->cluster_max);
    allocator->table_max = min_u64(count + count / 8 + 2, QCOW2_REFCOUNT_TABLE_LEN_MAX / sizeof(uint64_t));
    allocator->table = arena_allocate(arena, allocator->table_max * sizeof(*allocator->table), 8);
    return allocator->table != NULL;
}

bool qcow2_allocator_init(struct qcow2_allocator *allocator, uint32_t cluster_bits, uint32_t refcount_order,
                          uint64_t cluster_max, struct arena *arena)
{
    *allocator = (struct qcow2_allocator){
        .cluster_bits = cluster_bits,
        .refcount_order = refcount_order,
        .block_entries = 1ull << (cluster_bits + 3 - refcount_order),
    };
    allocator->cluster_max = cluster_max;
    allocator->block = arena_allocate(arena, 1ull << cluster_bits, 4096);
    return allocator->block != NULL && make_table(allocator, arena);
}

bool qcow2_allocator_expect(struct qcow2_allocator *allocator, uint64_t more_clusters, struct arena *arena)
{
    uint64_t *old = allocator->table;
    if (!checked_add(allocator->cluster_max, more_clusters, &allocator->cluster_max) || !make_table(allocator, arena)) {
        return false;
    }
    memcpy(allocator->table, old, allocator->block_index * sizeof(*old));
    return true;
}

uint64_t qcow2_allocator_room(const struct qcow2_allocator *allocator)
{
    return (allocator->block_index + 1) * allocator->block_entries - allocator->next;
}

bool qcow2_allocator_is_full(const struct qcow2_allocator *allocator)
{
    return qcow2_allocator_room(allocator) == 0;
}

/* Counts lie in big-endian words; of those below a byte, the first one is in the lowest bits (qcow2, "Refcounts"). */
static uint64_t count_get(const struct qcow2_allocator *allocator, uint64_t index)
{
    uint32_t bits = 1u << allocator->refcount_order;
    if (bits < 8) {
        uint32_t shift = (uint32_t)(index % (8 / bits)) * bits;
        return (allocator->block[index * bits / 8] >> shift) & ((1u << bits) - 1);
    }
    uint64_t count = 0;
    for (uint32_t i = 0; i < bits / 8; i++) {
        count = count << 8 | allocator->block[index * (bits / 8) + i];
    }
    return count;
}

static void count_set(struct qcow2_allocator *allocator, uint64_t index, uint64_t count)
{
    uint32_t bits = 1u << allocator->refcount_order;
    if (bits < 8) {
        uint8_t *byte = &allocator->block[index * bits / 8];
        uint32_t shift = (uint32_t)(index % (8 / bits)) * bits;
        uint32_t mask = ((1u << bits) - 1) << shift;
        *byte = (uint8_t)((*byte & ~mask) | (uint32_t)count << shift);
        return;
    }
    for (uint32_t i = bits / 8; i > 0; i--) {
        allocator->block[index * (bits / 8) + i - 1] = (uint8_t)count;
        count >>= 8;
    }
}

static void count_all(struct qcow2_allocator *allocator, uint64_t first_index, uint64_t end_index)
{
    for (uint64_t i = first_index; i < end_index; i++) {
        count_set(allocator, i, 1);
    }
}

bool qcow2_allocator_turn(struct qcow2_allocator *allocator, uint64_t *ret_off)
{
    if (allocator->block_index + 1 >= allocator->table_max) {
        return false;
    }
    *ret_off = allocator->next << allocator->cluster_bits;
    return true;
}

void qcow2_allocator_turned(struct qcow2_allocator *allocator)
{
    allocator->table[allocator->block_index++] = allocator->next << allocator->cluster_bits;
    memset(allocator->block, 0, 1ull << allocator->cluster_bits);
    count_set(allocator, 0, 1);
    allocator->next++;
}

uint64_t qcow2_allocator_take(struct qcow2_allocator *allocator, uint64_t count, uint64_t *ret_cluster)
{
    uint64_t first_index = allocator->next - allocator->block_index * allocator->block_entries;
    count = min_u64(count, allocator->block_entries - first_index);
    count_all(allocator, first_index, first_index + count);
    *ret_cluster = allocator->next;
    allocator->next += count;
    return count;
}

void qcow2_allocator_skip(struct qcow2_allocator *allocator)
{
    allocator->next = (allocator->block_index + 1) * allocator->block_entries;
}

bool qcow2_allocator_region(const struct qcow2_allocator *allocator, uint64_t count,
                            struct qcow2_allocator_region *ret_region)
{
    uint64_t start = allocator->block_index * allocator->block_entries;
    uint64_t used_count = allocator->next - start + count;
    uint64_t block_count = blocks_for(allocator, used_count);
    while (block_count * allocator->block_entries < used_count + block_count) { /* ends: a block counts 64 at least */
        block_count++;
    }
    if (allocator->block_index + block_count >= allocator->table_max) {
        return false;
    }
    *ret_region = (struct qcow2_allocator_region){
        .first_block = allocator->next,
        .block_count = block_count,
        .cluster = allocator->next + block_count,
        .end = allocator->next + block_count + count,
    };
    return true;
}

void qcow2_allocator_region_block(struct qcow2_allocator *allocator, const struct qcow2_allocator_region *region,
                                  uint64_t index)
{
    uint64_t start = allocator->block_index * allocator->block_entries;
    uint64_t first = max_u64(allocator->next, start) - start;
    if (index > 0) {
        memset(allocator->block, 0, 1ull << allocator->cluster_bits);
    }
    count_all(allocator, first, min_u64(region->end - start, allocator->block_entries));
    allocator->table[allocator->block_index++] = (region->first_block + index) << allocator->cluster_bits;
}

void qcow2_allocator_region_end(struct qcow2_allocator *allocator)
{
    memset(allocator->block, 0, 1ull << allocator->cluster_bits);
    allocator->next = allocator->block_index * allocator->block_entries;
}

bool qcow2_allocator_share(struct qcow2_allocator *allocator, uint64_t cluster)
{
    uint64_t index = cluster - allocator->block_index * allocator->block_entries;
    if (index >= allocator->block_entries) {
        return false;
    }
    uint64_t count = count_get(allocator, index);
    if (count == UINT64_MAX >> (64 - (1u << allocator->refcount_order))) {
        return false;
    }
    count_set(allocator, index, count + 1);
    return true;
}

bool qcow2_allocator_finish(const struct qcow2_allocator *allocator, uint64_t tail_clusters,
                            struct qcow2_allocator_end *ret_end)
{
    struct qcow2_allocator_end end = {.first_block = allocator->next};
    uint64_t entries_per_cluster = (1ull << allocator->cluster_bits) / sizeof(uint64_t);
    uint64_t known_count = 0;
    /* Blocks and table count themselves: more clusters may need more blocks. Ends: the numbers only grow, and a block
     * counts more clusters than it takes. */
    do {
        known_count = end.cluster_count;
        uint64_t blocks = blocks_for(allocator, max_u64(known_count, allocator->next));
        end.block_count = blocks - allocator->block_index;
        end.table_clusters = divide_up(blocks, entries_per_cluster);
        end.table_cluster = end.first_block + end.block_count;
        end.tail_cluster = end.table_cluster + end.table_clusters;
        end.cluster_count = end.tail_cluster + tail_clusters;
    } while (end.cluster_count != known_count);
    if (allocator->block_index + end.block_count > allocator->table_max) {
        return false;
    }
    *ret_end = end;
    return true;
}

void qcow2_allocator_last_block(struct qcow2_allocator *allocator, const struct qcow2_allocator_end *end,
                                uint64_t index)
{
    uint64_t start = allocator->block_index * allocator->block_entries;
    if (index > 0) {
        memset(allocator->block, 0, 1ull << allocator->cluster_bits);
    }
    uint64_t first = max_u64(allocator->next, start) - start;
    if (end->cluster_count > start) {
        count_all(allocator, first, min_u64(end->cluster_count - start, allocator->block_entries));
    }
    allocator->table[allocator->block_index++] = (end->first_block + index) << allocator->cluster_bits;
}
