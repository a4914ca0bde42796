/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/id_set.h"

#include <string.h>
#include <sys/mman.h>

#define TEXT_ROOM_FIRST ((size_t)64 << 10)
#define SLOT_COUNT_FIRST ((size_t)8 << 10)

/* NULL when there is none. */
static void *memory_get(size_t len)
{
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    madvise(memory, len, MADV_DONTFORK); /* without it, forking is slower */
    return memory;
}

void id_set_release(struct id_set *set)
{
    if (set->text != NULL) {
        munmap(set->text, set->text_room);
    }
    if (set->slots != NULL) {
        munmap(set->slots, set->slot_count * sizeof(*set->slots));
    }
    *set = (struct id_set){0};
}

/* FNV-1a with its result mixed, as its low bits choose the slot. Names are the user's own. */
static uint64_t hash_of(const char *id)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *id != '\0'; id++) {
        hash = (hash ^ (uint8_t)*id) * 0x100000001b3;
    }
    return hash ^ hash >> 32;
}

static const char *name_at(const struct id_set *set, uint64_t slot)
{
    return &set->text[slot - 1 + sizeof(size_t)];
}

/* The slot that has `id`, or the free one where it belongs: there is one, as at most half of them are taken. */
static size_t slot_find(const struct id_set *set, const char *id)
{
    size_t slot = hash_of(id) & (set->slot_count - 1);
    while (set->slots[slot] != 0 && strcmp(name_at(set, set->slots[slot]), id) != 0) {
        slot = (slot + 1) & (set->slot_count - 1);
    }
    return slot;
}

bool id_set_has(const struct id_set *set, const char *id)
{
    return set->count > 0 && set->slots[slot_find(set, id)] != 0;
}

static bool slots_grow(struct id_set *set)
{
    struct id_set grown = *set;
    grown.slot_count = set->slot_count > 0 ? 2 * set->slot_count : SLOT_COUNT_FIRST;
    grown.slots = memory_get(grown.slot_count * sizeof(*grown.slots));
    if (grown.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < set->slot_count; i++) {
        if (set->slots[i] != 0) {
            grown.slots[slot_find(&grown, name_at(set, set->slots[i]))] = set->slots[i];
        }
    }
    if (set->slots != NULL) {
        munmap(set->slots, set->slot_count * sizeof(*set->slots));
    }
    *set = grown;
    return true;
}

static bool text_grow(struct id_set *set, size_t len)
{
    size_t room = set->text_room > 0 ? set->text_room : TEXT_ROOM_FIRST;
    while (room - set->text_len < len) {
        room *= 2;
    }
    if (room == set->text_room) {
        return true;
    }
    char *text = memory_get(room);
    if (text == NULL) {
        return false;
    }
    if (set->text != NULL) {
        memcpy(text, set->text, set->text_len);
        munmap(set->text, set->text_room);
    }
    set->text = text;
    set->text_room = room;
    return true;
}

bool id_set_add_indexed(struct id_set *set, const char *id, size_t *ret_index)
{
    size_t len = strlen(id) + 1;
    if (id_set_has(set, id)) {
        memcpy(ret_index, &set->text[set->slots[slot_find(set, id)] - 1], sizeof(*ret_index));
        return true;
    }
    if ((set->slot_count < 2 * (set->count + 1) && !slots_grow(set)) || !text_grow(set, sizeof(size_t) + len)) {
        return false;
    }
    set->slots[slot_find(set, id)] = set->text_len + 1;
    memcpy(&set->text[set->text_len], &set->count, sizeof(set->count));
    memcpy(&set->text[set->text_len + sizeof(size_t)], id, len);
    set->text_len += sizeof(size_t) + len;
    *ret_index = set->count++;
    return true;
}

bool id_set_add(struct id_set *set, const char *id)
{
    size_t index;
    return id_set_add_indexed(set, id, &index);
}
