/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/operations/convert/convert_memory.h"

#include "abi/layout.h"
#include "base/checked.h"

/* Units of all lengths, together; as many as there are requests worth waiting for, and two at least. */
#define UNITS_LEN_MAX (1ull << 20)
#define UNIT_COUNT_MIN 2u
#define UNIT_COUNT_MAX 16u

bool convert_units_init(struct convert_units *units, uint32_t unit_len, struct arena *arena)
{
    *units = (struct convert_units){.unit_len = unit_len};
    uint64_t count = min_u64(max_u64(UNITS_LEN_MAX / unit_len, UNIT_COUNT_MIN), UNIT_COUNT_MAX);
    for (uint64_t i = 0; i < count; i++) {
        struct convert_unit *unit = arena_allocate(arena, sizeof(*unit), _Alignof(struct convert_unit));
        uint8_t *data = arena_allocate(arena, unit_len, LAYOUT_PAGE_LEN);
        if (unit == NULL || data == NULL) {
            return false;
        }
        *unit = (struct convert_unit){.data = data, .next_free = units->free};
        units->free = unit;
    }
    return true;
}

struct convert_unit *convert_units_take(struct convert_units *units)
{
    struct convert_unit *unit = units->free;
    if (unit != NULL) {
        units->free = unit->next_free;
        unit->users = 1;
    }
    return unit;
}

void convert_memory_keep(const struct convert_memory *memory)
{
    if (memory->unit != NULL) {
        memory->unit->users++;
    } else {
        reader_keep(&memory->part);
    }
}

void convert_memory_release(const struct convert_memory *memory)
{
    struct convert_unit *unit = memory->unit;
    if (unit == NULL) {
        reader_release(memory->reader, &memory->part);
    } else if (--unit->users == 0) {
        unit->next_free = memory->units->free;
        memory->units->free = unit;
    }
}
