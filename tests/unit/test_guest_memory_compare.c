/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Without its alias, which would be the whole test's memcmp. */
#define MEMORY_COMPARE_ONLY
#include "guest/runtime/memory_compare.c"

#define LEN_MAX 150u

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

/* Every length, alignment and place of the first byte that differs, either way, beside the host's library. */
static void all_differences(void **state)
{
    (void)state;
    static uint8_t left[LEN_MAX + 16];
    static uint8_t right[LEN_MAX + 16];
    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (size_t align = 0; align < 8; align++) {
            uint8_t *a = left + align;
            uint8_t *b = right + (align * 3) % 8;
            memset(left, 0x80, sizeof(left));
            memset(right, 0x80, sizeof(right));
            assert_int_equal(memory_compare(a, b, len), 0);
            for (size_t off = 0; off < len; off++) {
                a[off] = 0x81;
                b[len - 1] ^= off + 1 < len ? 0xff : 0; /* another one behind it, which does not count */
                assert_int_equal(sign(memory_compare(a, b, len)), sign(memcmp(a, b, len)));
                assert_int_equal(memory_compare(a, b, len), -memory_compare(b, a, len));
                assert_int_equal(memory_compare(a, b, off), 0);
                b[len - 1] = a[off] = 0x80;
            }
        }
    }
}

/* A byte is a number without a sign. */
static void high_bytes(void **state)
{
    (void)state;
    assert_true(memory_compare("\x7f", "\x80", 1) < 0);
    assert_true(memory_compare("\xff", "\x01", 1) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_differences), cmocka_unit_test(high_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
