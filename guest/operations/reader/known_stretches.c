/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/reader/known_stretches.h"

#include <stddef.h>

struct known_stretches *known_stretches_make(struct arena *arena, struct image *first, struct image *second)
{
    if (first->format->table_at == NULL || second->format->table_at == NULL) {
        return NULL;
    }
    struct known_stretches *known = arena_allocate(arena, sizeof(*known), _Alignof(struct known_stretches));
    if (known != NULL) {
        known->images[0] = first;
        known->images[1] = second;
    }
    return known;
}

/*
 * Of a place all get the same answer, whatever others have asked meanwhile: who goes on behind it has asked here
 * before, so tables that are remembered were met here or further to the front, and tables that found no room never find
 * any.
 */
struct known_stretch known_stretches_look(struct known_stretches *known, uint64_t voff)
{
    struct known_stretch stretch = {.len = UINT64_MAX};
    struct table_stretch first, second;
    if (!table_stretch_at(known->images[0], voff, &first) || !table_stretch_at(known->images[1], voff, &second) ||
        first.len != second.len) {
        return stretch;
    }
    uint64_t in_stretch = voff % first.len;
    uint64_t start_voff = voff - in_stretch;
    bool is_new;
    struct table_memo_entry *entry = table_memo_find(&known->memo, first.table, second.table, &is_new);
    if (is_new) {
        entry->value = start_voff;
    }
    stretch.is_known = entry != NULL && entry->value < start_voff;
    stretch.len = first.len - in_stretch;
    return stretch;
}
