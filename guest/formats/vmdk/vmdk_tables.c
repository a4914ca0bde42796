/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk_tables.h"

#include <stddef.h>

#include "base/checked.h"

bool vmdk_sectors_len(uint64_t sectors, uint64_t *ret_len)
{
    if (sectors > INT64_MAX / VMDK_SECTOR_LEN) {
        return false;
    }
    *ret_len = sectors * VMDK_SECTOR_LEN;
    return true;
}

bool vmdk_tables_set(struct vmdk_tables *tables, const struct vmdk_shape *shape, struct error *error)
{
    if (shape->grain_sectors == 0 || shape->grain_sectors > VMDK_GRAIN_SECTORS_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "Invalid granularity, image may be corrupt");
    }
    uint64_t table_sectors = shape->table_count * shape->grain_sectors; /* 2^32 * 2^21 at most */
    if (table_sectors == 0) {
        return error_set(error, ERROR_MALFORMED, NULL, "L1 entry size is invalid");
    }
    if (!vmdk_sectors_len(shape->capacity_sectors, &tables->capacity_len)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the extent's capacity, %llu sectors, is too large",
                         (unsigned long long)shape->capacity_sectors);
    }
    uint64_t needed_count = divide_up(shape->capacity_sectors, table_sectors);
    uint64_t count = shape->directory_count != UINT64_MAX ? shape->directory_count : needed_count;
    if (count > VMDK_DIRECTORY_COUNT_MAX) {
        return error_set(error, ERROR_MALFORMED, NULL, "L1 size too big");
    }
    if (!vmdk_sectors_len(shape->directory_sector, &tables->directory_off)) {
        return error_set(error, ERROR_MALFORMED, NULL, "the grain directory at sector %llu cannot be there",
                         (unsigned long long)shape->directory_sector);
    }
    tables->grain_len = (uint32_t)(shape->grain_sectors * VMDK_SECTOR_LEN);
    tables->table_count = shape->table_count;
    tables->directory_count = count;
    return true;
}
