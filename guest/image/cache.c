/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks are found by a hash of file and number, and kept in a list by their last use. A block is filled by parts: a
 * random access reads one part, and a reader that goes on behind it gets twice as much each time, so that small tables
 * strewn over a file cost little and long ones few requests.
 */
#include "guest/image/cache.h"

#include "base/checked.h"
#include "base/endian.h"

/* The smallest read: a page of the host's cache. */
#define PART_LEN 4096u
#define PART_COUNT (CACHE_BLOCK_LEN / PART_LEN)
#define BLOCK_COUNT_MIN 4u

struct block {
    struct file *file; /* NULL: unused */
    uint64_t index;    /* in the file, of CACHE_BLOCK_LEN bytes each */
    uint8_t *data;
    uint32_t valid; /* a bit for each part that is there */
    struct block *newer, *older;
    struct block *next_in_bucket;
};

struct cache {
    struct block *last; /* what the last access found: most go to the same block again */
    struct block *newest, *oldest;
    struct block **buckets;
    uint32_t bucket_bits;
};

_Static_assert(PART_COUNT <= 32, "the bits of a block's parts fit");

static uint32_t bucket_bits_for(uint32_t block_count)
{
    uint32_t bits = 1;
    while (bits < 31 && (1u << bits) < 2 * (uint64_t)block_count) {
        bits++;
    }
    return bits;
}

struct cache *cache_make(struct arena *arena, uint32_t block_count)
{
    uint32_t bits = bucket_bits_for(block_count);
    /* The data first: what is used first of it then lies beside what comes next from the arena (cache.h). */
    uint8_t *data = arena_allocate(arena, (uint64_t)block_count * CACHE_BLOCK_LEN, PART_LEN);
    struct cache *cache = arena_allocate(arena, sizeof(*cache), _Alignof(struct cache));
    struct block *blocks = arena_allocate(arena, (uint64_t)block_count * sizeof(*blocks), _Alignof(struct block));
    struct block **buckets =
        arena_allocate(arena, sizeof(struct block *) << bits, _Alignof(struct block *)); /* zero: all empty */
    if (block_count < BLOCK_COUNT_MIN || cache == NULL || blocks == NULL || buckets == NULL || data == NULL) {
        return NULL;
    }
    *cache = (struct cache){.buckets = buckets, .bucket_bits = bits};
    cache->last = cache->newest = &blocks[0];
    cache->oldest = &blocks[block_count - 1];
    for (uint32_t i = 0; i < block_count; i++) {
        blocks[i] = (struct block){
            .data = data + (size_t)i * CACHE_BLOCK_LEN,
            .newer = i > 0 ? &blocks[i - 1] : NULL,
            .older = i + 1 < block_count ? &blocks[i + 1] : NULL,
        };
    }
    return cache;
}

static struct block **bucket_of(const struct cache *cache, const struct file *file, uint64_t index)
{
    uint64_t key = index ^ ((uint64_t)(uintptr_t)file >> 4);
    return &cache->buckets[(key * 0x9e3779b97f4a7c15ull) >> (64 - cache->bucket_bits)];
}

static void bucket_remove(struct cache *cache, struct block *block)
{
    struct block **link = bucket_of(cache, block->file, block->index);
    while (*link != block) { /* ends: a block with a file is in its bucket */
        link = &(*link)->next_in_bucket;
    }
    *link = block->next_in_bucket;
}

static void make_newest(struct cache *cache, struct block *block)
{
    if (cache->newest == block) {
        return;
    }
    block->newer->older = block->older;
    if (block->older != NULL) {
        block->older->newer = block->newer;
    } else {
        cache->oldest = block->newer;
    }
    block->newer = NULL;
    block->older = cache->newest;
    cache->newest->newer = block;
    cache->newest = block;
}

/* The block of the file; if it is not there, the oldest one, without any valid part. */
static struct block *find_block(struct cache *cache, struct file *file, uint64_t index)
{
    struct block *block = cache->last;
    if (block->file == file && block->index == index) {
        return block;
    }
    struct block **bucket = bucket_of(cache, file, index);
    block = *bucket;
    while (block != NULL && (block->file != file || block->index != index)) { /* ends: lists have no loops */
        block = block->next_in_bucket;
    }
    if (block == NULL) {
        block = cache->oldest;
        if (block->file != NULL) {
            bucket_remove(cache, block);
        }
        block->file = file;
        block->index = index;
        block->valid = 0;
        block->next_in_bucket = *bucket;
        *bucket = block;
    }
    make_newest(cache, block);
    cache->last = block;
    return block;
}

/* Bits of the parts from `first` up to, but not with, `end`. */
static uint32_t part_bits(uint32_t first, uint32_t end)
{
    return (uint32_t)((1ull << end) - (1ull << first));
}

/* How many parts before `part` are there. */
static uint32_t valid_before(const struct block *block, uint32_t part)
{
    uint32_t count = 0;
    while (count < part && (block->valid >> (part - count - 1) & 1) != 0) {
        count++;
    }
    return count;
}

/* Reads what is missing of the parts from `first` up to `end`, and some more for who goes on from there. */
static bool fill(struct block *block, uint32_t first, uint32_t end, struct error *error)
{
    while (first < end && (block->valid >> first & 1) != 0) {
        first++;
    }
    if (first == end) {
        return true;
    }
    end = (uint32_t)min_u64(max_u64(end, first + valid_before(block, first)), PART_COUNT);
    struct file *file = block->file;
    uint64_t off = block->index * CACHE_BLOCK_LEN + (uint64_t)first * PART_LEN;
    uint8_t *data = block->data + (size_t)first * PART_LEN;
    size_t len = (size_t)(end - first) * PART_LEN;
    RETURN_IF_FAILED(file_read(file, off, data, len, error));
    RETURN_IF_FAILED(file->overlay == NULL || file->overlay->apply(file->overlay, file, off, data, len, error));
    block->valid |= part_bits(first, end);
    return true;
}

bool cache_view(struct cache *cache, struct file *file, uint64_t off, uint64_t len, struct span *ret_bytes,
                struct error *error)
{
    struct block *block = find_block(cache, file, off / CACHE_BLOCK_LEN);
    uint32_t start = (uint32_t)(off % CACHE_BLOCK_LEN);
    uint32_t end = start + (uint32_t)min_u64(max_u64(len, 1), CACHE_BLOCK_LEN - start);
    RETURN_IF_FAILED(fill(block, start / PART_LEN, (end + PART_LEN - 1) / PART_LEN, error));
    *ret_bytes = (struct span){block->data + start, end - start};
    return true;
}

bool cache_read(struct cache *cache, struct file *file, uint64_t off, void *target, size_t len, struct error *error)
{
    uint8_t *next = target;
    while (len > 0) { /* ends: a view has one byte at least */
        struct span bytes;
        RETURN_IF_FAILED(cache_view(cache, file, off, len, &bytes, error));
        memcpy(next, bytes.data, bytes.len);
        next += bytes.len;
        off += bytes.len;
        len -= bytes.len;
    }
    return true;
}

/* A word lies within one part, as its offset is a multiple of its length; one that does not is read like anything. */
static inline bool read_word(struct cache *cache, struct file *file, uint64_t off, void *target, size_t len,
                             struct error *error)
{
    if (off % len != 0) {
        return cache_read(cache, file, off, target, len, error);
    }
    struct block *block = find_block(cache, file, off / CACHE_BLOCK_LEN);
    uint32_t start = (uint32_t)(off % CACHE_BLOCK_LEN);
    uint32_t part = start / PART_LEN;
    if ((block->valid >> part & 1) == 0) {
        RETURN_IF_FAILED(fill(block, part, part + 1, error));
    }
    memcpy(target, block->data + start, len);
    return true;
}

bool cache_read_be64(struct cache *cache, struct file *file, uint64_t off, uint64_t *ret_value, struct error *error)
{
    struct be64 value;
    RETURN_IF_FAILED(read_word(cache, file, off, &value, sizeof(value), error));
    *ret_value = be64_get(value);
    return true;
}

bool cache_read_be32(struct cache *cache, struct file *file, uint64_t off, uint32_t *ret_value, struct error *error)
{
    struct be32 value;
    RETURN_IF_FAILED(read_word(cache, file, off, &value, sizeof(value), error));
    *ret_value = be32_get(value);
    return true;
}

void cache_set_overlay(struct cache *cache, struct file *file, const struct file_overlay *overlay)
{
    for (struct block *block = cache->newest; block != NULL; block = block->older) {
        block->valid = block->file == file ? 0 : block->valid;
    }
    file->overlay = overlay;
}

void cache_update(struct cache *cache, struct file *file, uint64_t off, struct span bytes)
{
    uint64_t done_len = 0;
    while (done_len < bytes.len) { /* ends: each round goes on to the next block */
        uint64_t index = (off + done_len) / CACHE_BLOCK_LEN;
        uint64_t start = (off + done_len) % CACHE_BLOCK_LEN;
        uint64_t part_len = min_u64(bytes.len - done_len, CACHE_BLOCK_LEN - start);
        struct block *block = *bucket_of(cache, file, index);
        while (block != NULL && (block->file != file || block->index != index)) { /* ends: lists have no loops */
            block = block->next_in_bucket;
        }
        if (block != NULL) { /* parts that are not valid are read before anybody sees them */
            memcpy(block->data + start, bytes.data + done_len, part_len);
        }
        done_len += part_len;
    }
}
