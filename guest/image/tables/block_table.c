/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/tables/block_table.h"

#include "base/checked.h"
#include "base/endian.h"

#define WORD_LEN_MAX 8u

uint32_t block_table_word_len(enum block_table_word word)
{
    return word == BLOCK_TABLE_LE32 || word == BLOCK_TABLE_BE32 ? 4 : 8;
}

uint64_t block_table_word_get(const uint8_t *bytes, enum block_table_word word)
{
    struct le32 le32;
    struct le64 le64;
    struct be32 be32;
    struct be64 be64;
    switch (word) {
    case BLOCK_TABLE_LE32:
        memcpy(&le32, bytes, sizeof(le32));
        return le32_get(le32);
    case BLOCK_TABLE_LE64:
        memcpy(&le64, bytes, sizeof(le64));
        return le64_get(le64);
    case BLOCK_TABLE_BE32:
        memcpy(&be32, bytes, sizeof(be32));
        return be32_get(be32);
    case BLOCK_TABLE_BE64:
    default:
        memcpy(&be64, bytes, sizeof(be64));
        return be64_get(be64);
    }
}

void block_table_word_put(uint8_t *bytes, enum block_table_word word, uint64_t value)
{
    struct le32 le32 = le32_make((uint32_t)value);
    struct le64 le64 = le64_make(value);
    struct be32 be32 = be32_make((uint32_t)value);
    struct be64 be64 = be64_make(value);
    switch (word) {
    case BLOCK_TABLE_LE32:
        memcpy(bytes, &le32, sizeof(le32));
        break;
    case BLOCK_TABLE_LE64:
        memcpy(bytes, &le64, sizeof(le64));
        break;
    case BLOCK_TABLE_BE32:
        memcpy(bytes, &be32, sizeof(be32));
        break;
    case BLOCK_TABLE_BE64:
        memcpy(bytes, &be64, sizeof(be64));
        break;
    }
}

bool block_table_check(const struct block_table *table, const char *what, struct error *error)
{
    uint64_t len, end_off;
    if (!checked_multiply(table->count, block_table_word_len(table->word), &len) ||
        !checked_add(table->off, len, &end_off) || end_off > table->file->len) {
        return error_set(error, ERROR_MALFORMED, NULL, "%s ends past the end of the file (offset 0x%llx)", what,
                         (unsigned long long)table->off);
    }
    return true;
}

uint64_t block_table_stored_count(const struct block_table *table)
{
    uint32_t word_len = block_table_word_len(table->word);
    uint64_t left_len = table->off < table->file->len ? table->file->len - table->off : 0;
    return min_u64(table->count, divide_up(left_len, word_len));
}

/* The place of an entry. Tables are read whole in QEMU, so that one is refused whichever entry is asked for. */
static bool entry_off(const struct block_table *table, uint64_t index, uint64_t *ret_off, struct error *error)
{
    uint64_t len;
    if (index >= table->count) {
        return error_set(error, ERROR_GUEST, table->file->name, "entry %llu of a table of %llu is asked for",
                         (unsigned long long)index, (unsigned long long)table->count);
    }
    if (!checked_multiply(table->count, block_table_word_len(table->word), &len) ||
        !range_is_within(table->off, len, FILE_END_MAX)) {
        return error_set(error, ERROR_MALFORMED, table->file->name,
                         "a table at offset 0x%llx ends behind the end of the largest file",
                         (unsigned long long)table->off);
    }
    *ret_off = table->off + index * block_table_word_len(table->word);
    return true;
}

bool block_table_read(struct cache *cache, const struct block_table *table, uint64_t index, uint64_t *ret_value,
                      struct error *error)
{
    uint64_t off;
    uint8_t bytes[WORD_LEN_MAX];
    RETURN_IF_FAILED(entry_off(table, index, &off, error));
    RETURN_IF_FAILED(cache_read(cache, table->file, off, bytes, block_table_word_len(table->word), error));
    *ret_value = block_table_word_get(bytes, table->word);
    return true;
}

bool block_table_run(struct cache *cache, const struct block_table *table, uint64_t index, uint64_t count_max,
                     uint64_t step, uint64_t *ret_value, uint64_t *ret_count, struct error *error)
{
    uint64_t off, value;
    uint32_t word_len = block_table_word_len(table->word);
    uint64_t count = 1;
    struct span view;
    RETURN_IF_FAILED(entry_off(table, index, &off, error));
    uint64_t end_count = min_u64(count_max, table->count - index);
    uint64_t stored_count = block_table_stored_count(table);
    end_count = index < stored_count ? min_u64(end_count, stored_count - index) : end_count;
    RETURN_IF_FAILED(cache_view(cache, table->file, off, min_u64(end_count, UINT32_MAX) * word_len, &view, error));
    if (view.len < word_len) { /* the entry straddles two blocks */
        RETURN_IF_FAILED(block_table_read(cache, table, index, &value, error));
    } else {
        value = block_table_word_get(view.data, table->word);
        end_count = min_u64(end_count, view.len / word_len);
        /* Ends with the view. The sum may wrap: then the next entry is another one, or the same if step is 0. */
        while (count < end_count &&
               block_table_word_get(view.data + count * word_len, table->word) == value + count * step) {
            count++;
        }
    }
    *ret_value = value;
    *ret_count = count;
    return true;
}
