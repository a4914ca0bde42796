/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Without its alias, which would be the whole test's memcpy. */
#define MEMORY_COPY_ONLY
#include "guest/runtime/memory_copy.c"

/* Every length up to well past the last case, at every alignment; what lies around stays. */
static void all_lengths(void **state)
{
    (void)state;
    static uint8_t source[2048];
    static uint8_t target[2048];
    for (size_t i = 0; i < sizeof(source); i++) {
        source[i] = (uint8_t)(i * 7 + i / 256 + 1);
    }
    for (size_t len = 0; len < 1200; len++) {
        for (size_t align = 0; align < 8; align++) {
            size_t source_off = 16 + align;
            size_t target_off = 16 + (align * 3) % 8;
            memset(target, 0xee, sizeof(target));
            assert_ptr_equal(memory_copy(target + target_off, source + source_off, len), target + target_off);
            for (size_t i = 0; i < sizeof(target); i++) {
                uint8_t expected = i >= target_off && i - target_off < len ? source[i - target_off + source_off] : 0xee;
                assert_int_equal(target[i], expected);
            }
        }
    }
}

/* As memmove uses it: the target begins before the source, and they overlap. */
static void overlapping(void **state)
{
    (void)state;
    static uint8_t bytes[2048];
    for (size_t len = 0; len < 1200; len++) {
        for (size_t distance = 1; distance < 70; distance++) {
            for (size_t i = 0; i < sizeof(bytes); i++) {
                bytes[i] = (uint8_t)(i * 7 + i / 256 + 1);
            }
            memory_copy(bytes + 16, bytes + 16 + distance, len);
            for (size_t i = 16; i < 16 + len; i++) {
                size_t from = i + distance;
                assert_int_equal(bytes[i], (uint8_t)(from * 7 + from / 256 + 1));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_lengths), cmocka_unit_test(overlapping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
