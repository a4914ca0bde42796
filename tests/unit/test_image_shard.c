/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest/image/shard.h"

#define MIB (1ull << 20)
#define DISK_LEN_MAX ((uint64_t)INT64_MAX / 512 * 512)

static void is_range(uint32_t number, uint32_t count, uint64_t disk_len, uint64_t expected_start, uint64_t expected_end)
{
    uint64_t start = 1;
    uint64_t end = 1;
    shard_range(number, count, disk_len, &start, &end);
    assert_true(start == expected_start);
    assert_true(end == expected_end);
}

static void known_ranges(void **state)
{
    (void)state;
    is_range(1, 1, 9 * MIB, 0, 9 * MIB);
    is_range(1, 3, 9 * MIB, 0, 4 * MIB); /* five units: two, two and one */
    is_range(2, 3, 9 * MIB, 4 * MIB, 8 * MIB);
    is_range(3, 3, 9 * MIB, 8 * MIB, 9 * MIB);
    is_range(2, 2, 2 * MIB + 512, 2 * MIB, 2 * MIB + 512);
    is_range(1, 2, 512, 0, 512);
    is_range(2, 2, 512, 512, 512); /* more parts than units: empty, at the end */
    is_range(1, 1, 0, 0, 0);
    is_range(UINT32_MAX, UINT32_MAX, 4 * MIB, 4 * MIB, 4 * MIB);
    is_range(UINT32_MAX, UINT32_MAX, DISK_LEN_MAX, (1024 * (UINT32_MAX - 1ull) + 1024) * 2 * MIB, DISK_LEN_MAX);
}

/* Parts follow each other, cover the disk, begin at units, and no part has two units more than another one. */
static void is_division(uint64_t disk_len, uint32_t count)
{
    uint64_t next = 0;
    uint64_t last_len = UINT64_MAX;
    uint64_t first_units = 0;
    for (uint32_t number = 1; number <= count; number++) {
        uint64_t start, end;
        shard_range(number, count, disk_len, &start, &end);
        assert_true(start == next && end >= start);
        assert_true(start % SHARD_UNIT_LEN == 0 || start == disk_len);
        uint64_t units = (end - start + SHARD_UNIT_LEN - 1) / SHARD_UNIT_LEN;
        first_units = number == 1 ? units : first_units;
        assert_true(units <= last_len && units + 1 >= first_units);
        last_len = units;
        next = end;
    }
    assert_true(next == disk_len);
}

static void divisions(void **state)
{
    (void)state;
    static const uint64_t lens[] = {
        0,       1,       512,          SHARD_UNIT_LEN - 1, SHARD_UNIT_LEN, SHARD_UNIT_LEN + 1,
        9 * MIB, 1 << 30, 20 * MIB + 5, DISK_LEN_MAX,       INT64_MAX};
    static const uint32_t counts[] = {1, 2, 3, 7, 64, 128, 1000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
            is_division(lens[i], counts[j]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_ranges),
        cmocka_unit_test(divisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
