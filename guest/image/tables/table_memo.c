/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/tables/table_memo.h"

#include <stddef.h>

_Static_assert((TABLE_MEMO_COUNT & (TABLE_MEMO_COUNT - 1)) == 0, "an index is a mask");

/* Fibonacci hashing of both (Knuth, volume 3, 6.4). Who makes tables collide makes his own image slow. */
static uint32_t first_place(uint64_t first, uint64_t second)
{
    uint64_t mixed = (first ^ (second << 32 | second >> 32)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(mixed >> 40) & (TABLE_MEMO_COUNT - 1);
}

struct table_memo_entry *table_memo_find(struct table_memo *memo, uint64_t first, uint64_t second, bool *ret_is_new)
{
    uint32_t place = first_place(first, second);
    *ret_is_new = false;
    while (memo->entries[place].is_taken) { /* ends: a quarter of the entries is free */
        struct table_memo_entry *entry = &memo->entries[place];
        if (entry->tables[0] == first && entry->tables[1] == second) {
            return entry;
        }
        place = (place + 1) & (TABLE_MEMO_COUNT - 1);
    }
    if (memo->count == TABLE_MEMO_COUNT / 4 * 3) {
        return NULL;
    }
    memo->count++;
    memo->entries[place] = (struct table_memo_entry){.is_taken = true, .tables = {first, second}};
    *ret_is_new = true;
    return &memo->entries[place];
}

bool table_stretch_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch)
{
    struct error ignored = {0};
    struct table_stretch stretch;
    /* What is behind an image is another one's matter, and lies elsewhere for each stretch. */
    if (image->format->table_at == NULL || image->backing != NULL || voff >= image->virtual_len ||
        !image->format->table_at(image, voff, &stretch, &ignored) || stretch.table == TABLE_NONE ||
        stretch.len > image->virtual_len - (voff - voff % stretch.len)) {
        return false;
    }
    *ret_stretch = stretch;
    return true;
}
