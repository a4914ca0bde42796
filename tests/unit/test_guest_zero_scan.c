/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/operations/reader/zero_scan.h"

/* In memory of exactly its length, so that a sanitizer sees a read past it. */
static bool are_zero(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy + 1, bytes, len);
    bool result = bytes_are_zero((struct span){copy + 1, len});
    free(copy);
    return result;
}

static void every_byte_counts_at_every_length(void **state)
{
    (void)state;
    uint8_t bytes[300] = {0};
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        assert_true(are_zero(bytes, len));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = 0x80;
            assert_false(are_zero(bytes, len));
            bytes[i] = 0;
        }
    }
}

static struct zero_run run_at(const uint8_t *data, size_t len, size_t start, uint64_t off)
{
    return zero_run_find((struct span){data + start, len - start}, off + start);
}

static void expect_run(struct zero_run run, uint64_t len, bool is_zero)
{
    assert_int_equal(run.len, len);
    assert_int_equal(run.is_zero, is_zero);
}

static void runs_are_whole_blocks(void **state)
{
    (void)state;
    static uint8_t data[6 * ZERO_BLOCK_LEN];
    data[2 * ZERO_BLOCK_LEN - 1] = 1;
    data[2 * ZERO_BLOCK_LEN] = 1;
    data[5 * ZERO_BLOCK_LEN + 7] = 1;
    expect_run(run_at(data, sizeof(data), 0, 0), ZERO_BLOCK_LEN, true);
    expect_run(run_at(data, sizeof(data), ZERO_BLOCK_LEN, 0), 2 * ZERO_BLOCK_LEN, false);
    expect_run(run_at(data, sizeof(data), 3 * ZERO_BLOCK_LEN, 0), 2 * ZERO_BLOCK_LEN, true);
    expect_run(run_at(data, sizeof(data), 5 * ZERO_BLOCK_LEN, 0), ZERO_BLOCK_LEN, false);
}

static void blocks_lie_where_the_image_has_them(void **state)
{
    (void)state;
    static uint8_t data[2 * ZERO_BLOCK_LEN];
    data[ZERO_BLOCK_LEN - 512] = 1;
    /* From 512 before a block's end: 512 zeros, a block with the 1 at its start... */
    uint64_t off = 10 * ZERO_BLOCK_LEN + 512;
    expect_run(run_at(data, sizeof(data), 0, off), ZERO_BLOCK_LEN - 512, true);
    expect_run(run_at(data, sizeof(data), ZERO_BLOCK_LEN - 512, off), ZERO_BLOCK_LEN, false);
    /* ... and the partial block that is left. */
    expect_run(run_at(data, sizeof(data), 2 * ZERO_BLOCK_LEN - 512, off), 512, true);
}

static void nothing_has_no_run(void **state)
{
    (void)state;
    uint8_t byte = 0;
    assert_int_equal(zero_run_find((struct span){&byte, 0}, 4096).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_counts_at_every_length),
        cmocka_unit_test(runs_are_whole_blocks),
        cmocka_unit_test(blocks_lie_where_the_image_has_them),
        cmocka_unit_test(nothing_has_no_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
