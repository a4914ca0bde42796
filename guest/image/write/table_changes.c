/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/table_changes.h"

#include <string.h>

#include "base/checked.h"
#include "guest/image/image.h"

/* Half of them are free, so that a search is short. */
#define SLOT_COUNT (2u * TABLE_CHANGES_MAX)

bool table_changes_make(struct table_changes *changes, struct target *target, struct image *image, uint32_t page_len,
                        struct error *error)
{
    struct arena *arena = image->environment->arena;
    *changes = (struct table_changes){
        .target = target,
        .cache = image->environment->cache,
        .page_len = page_len,
        .slots = arena_allocate(arena, SLOT_COUNT * sizeof(struct table_change), _Alignof(struct table_change)),
        .sorted = arena_allocate(arena, TABLE_CHANGES_MAX * sizeof(struct table_change *), sizeof(void *)),
        .buffer = arena_allocate(arena, TABLE_CHANGES_STORE_LEN, 4096),
    };
    return (changes->slots != NULL && changes->sorted != NULL && changes->buffer != NULL) ||
           error_set(error, ERROR_LIMIT, target->file->name, "no memory is left to write to the image");
}

/* The slot that has the word at `off`, or would have it. */
static struct table_change *find(const struct table_changes *changes, uint64_t off)
{
    uint32_t index = (uint32_t)(off / 4 * 0x9e3779b97f4a7c15ull >> 32) % SLOT_COUNT;
    while (changes->slots[index].off != 0 && changes->slots[index].off != off) { /* ends: half of them are unused */
        index = (index + 1) % SLOT_COUNT;
    }
    return &changes->slots[index];
}

bool table_changes_get(const struct table_changes *changes, const struct block_table *table, uint64_t index,
                       uint64_t *ret_value, struct error *error)
{
    const struct table_change *change =
        index < table->count ? find(changes, table->off + index * block_table_word_len(table->word)) : NULL;
    if (change != NULL && change->off != 0) {
        *ret_value = change->value;
        return true;
    }
    return block_table_read(changes->cache, table, index, ret_value, error);
}

uint32_t table_changes_room(const struct table_changes *changes)
{
    return TABLE_CHANGES_MAX - changes->count;
}

bool table_changes_set(struct table_changes *changes, const struct block_table *table, uint64_t index, uint64_t value,
                       struct error *error)
{
    uint32_t word_len = block_table_word_len(table->word);
    if (index >= table->count || table_changes_room(changes) == 0) {
        return error_set(error, ERROR_GUEST, table->file->name, "entry %llu of a table of %llu cannot be set",
                         (unsigned long long)index, (unsigned long long)table->count);
    }
    uint64_t off = table->off + index * word_len;
    if (off % word_len != 0 || off == 0 || !range_is_within(off, word_len, table->file->len)) {
        return error_set(error, ERROR_UNSUPPORTED, table->file->name,
                         "a table at offset 0x%llx cannot be changed: it has an odd place",
                         (unsigned long long)table->off);
    }
    struct table_change *change = find(changes, off);
    changes->count += change->off == 0 ? 1 : 0;
    *change = (struct table_change){off, value, table->word};
    return true;
}

bool table_changes_store(struct table_changes *changes, uint64_t off, const uint8_t *bytes, uint32_t len,
                         struct error *error)
{
    struct target *target = changes->target;
    RETURN_IF_FAILED(target_settle(target, error));
    struct io_request request = target_own_request(target);
    io_write(target->io, &request, target->file, off, bytes, len);
    RETURN_IF_FAILED(target_settle(target, error));
    cache_update(changes->cache, target->file, off, (struct span){bytes, len});
    return true;
}

/* All that are set, in the file's order (Shell's way: there are TABLE_CHANGES_MAX at most). */
static void sort(struct table_changes *changes)
{
    struct table_change **sorted = changes->sorted;
    uint32_t count = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (changes->slots[i].off != 0) {
            sorted[count++] = &changes->slots[i];
        }
    }
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            struct table_change *moved = sorted[i];
            uint32_t at = i;
            for (; at >= gap && sorted[at - gap]->off > moved->off; at -= gap) {
                sorted[at] = sorted[at - gap];
            }
            sorted[at] = moved;
        }
    }
}

/* Those from `first` on that lie in one piece of the file: *ret_count of them, in the pages [*ret_off, *ret_end). */
static void find_piece(const struct table_changes *changes, uint32_t first, uint32_t *ret_count, uint64_t *ret_off,
                       uint64_t *ret_end)
{
    uint64_t off = round_down(changes->sorted[first]->off, changes->page_len);
    uint64_t end = off + changes->page_len;
    uint32_t next = first + 1;
    while (next < changes->count && changes->sorted[next]->off < end + changes->page_len &&
           round_down(changes->sorted[next]->off, changes->page_len) + changes->page_len <=
               off + TABLE_CHANGES_STORE_LEN) {
        end = round_down(changes->sorted[next++]->off, changes->page_len) + changes->page_len;
    }
    *ret_count = next - first;
    *ret_off = off;
    *ret_end = end;
}

bool table_changes_write(struct table_changes *changes, struct error *error)
{
    uint32_t count;
    sort(changes);
    for (uint32_t first = 0; first < changes->count; first += count) {
        uint64_t off, end;
        find_piece(changes, first, &count, &off, &end);
        end = min_u64(end, changes->target->file->len);
        uint32_t len = (uint32_t)(end - off);
        RETURN_IF_FAILED(cache_read(changes->cache, changes->target->file, off, changes->buffer, len, error));
        for (uint32_t i = first; i < first + count; i++) {
            const struct table_change *change = changes->sorted[i];
            block_table_word_put(changes->buffer + (change->off - off), change->word, change->value);
        }
        RETURN_IF_FAILED(
            (changes->store != NULL ? changes->store : table_changes_store)(changes, off, changes->buffer, len, error));
    }
    RETURN_IF_FAILED(changes->store_end == NULL || changes->store_end(changes, error));
    memset(changes->slots, 0, SLOT_COUNT * sizeof(struct table_change));
    changes->count = 0;
    return true;
}
