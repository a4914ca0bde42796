/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/tables/sector_bitmap.h"

#include "base/checked.h"

static bool bit_get(struct span bytes, enum sector_bitmap_order order, uint64_t index)
{
    uint64_t in_byte = order == SECTOR_BITMAP_LOW_FIRST ? index % 8 : 7 - index % 8;
    return bytes.data[index / 8] >> in_byte & 1;
}

bool sector_bitmap_run(struct cache *cache, struct file *file, uint64_t off, enum sector_bitmap_order order,
                       uint64_t index, uint64_t count_max, bool *ret_is_set, uint64_t *ret_count, struct error *error)
{
    uint64_t first = index % 8; /* counted from the byte that it is in */
    uint64_t byte_off;
    struct span bytes;
    if (!checked_add(off, index / 8, &byte_off)) {
        return error_set(error, ERROR_MALFORMED, file->name, "a bitmap at offset 0x%llx has no end",
                         (unsigned long long)off);
    }
    count_max = min_u64(count_max, UINT32_MAX);
    RETURN_IF_FAILED(cache_view(cache, file, byte_off, (first + count_max + 7) / 8, &bytes, error));
    uint64_t end = min_u64(first + count_max, (uint64_t)bytes.len * 8);
    bool is_set = bit_get(bytes, order, first);
    uint8_t same = is_set ? 0xff : 0;
    uint64_t bit = first + 1;
    while (bit < end && bit_get(bytes, order, bit) == is_set) { /* ends with the view */
        bit += bit % 8 == 0 && bytes.data[bit / 8] == same ? 8 : 1;
    }
    *ret_is_set = is_set;
    *ret_count = min_u64(bit, end) - first;
    return true;
}
