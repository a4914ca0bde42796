/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/formats/qcow2/layout/qcow2_bits.h"

static uint64_t number(uint64_t *state, uint64_t limit)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % limit;
}

static bool has(const uint8_t *bytes, uint64_t at)
{
    return (bytes[at / 8] >> at % 8 & 1) != 0;
}

/* Memory of exactly its length, so that a sanitizer sees what goes past it. */
static uint8_t *make(uint64_t count, uint64_t *state)
{
    uint64_t len = (count + 7) / 8;
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < len; i++) { /* long runs of either sort, and noise */
        uint64_t kind = number(state, 8);
        bytes[i] = kind < 4 ? 0 : kind < 6 ? 0xff : (uint8_t)number(state, 256);
    }
    return bytes;
}

static void sets_and_cuts(void **unused)
{
    (void)unused;
    uint64_t state = 1;
    for (int round = 0; round < 2000; round++) {
        uint64_t count = 8 * (1 + number(&state, 40));
        uint8_t *bytes = make(count, &state);
        uint8_t *before = malloc(count / 8);
        assert_non_null(before);
        memcpy(before, bytes, count / 8);
        uint64_t from = number(&state, count + 1);
        uint64_t to = from + number(&state, count - from + 1);
        uint64_t cut = number(&state, count + 20);
        qcow2_bits_set(bytes, from, to);
        qcow2_bits_cut(bytes, count / 8, cut);
        for (uint64_t i = 0; i < count; i++) {
            assert_int_equal(has(bytes, i), i < cut && (has(before, i) || (i >= from && i < to)));
        }
        free(before);
        free(bytes);
    }
}

/* Every bit against what it stands for. */
static void merges(void **unused)
{
    (void)unused;
    uint64_t state = 2;
    for (int round = 0; round < 4000; round++) {
        uint32_t target_bits = 9 + (uint32_t)number(&state, 7);
        uint32_t source_bits = 9 + (uint32_t)number(&state, 7);
        struct qcow2_bits target = {.first = 8 * number(&state, 30), .count = 8 * (1 + number(&state, 30))};
        uint64_t near = (target.first << target_bits) >> source_bits;
        struct qcow2_bits source = {.first = near / 8 * 8 + 8 * number(&state, 3), .count = 1 + number(&state, 700)};
        target.bytes = make(target.count, &state);
        source.bytes = make(source.count, &state);
        uint8_t *before = malloc(target.count / 8);
        assert_non_null(before);
        memcpy(before, target.bytes, target.count / 8);
        qcow2_bits_merge(target, target_bits, source, source_bits);
        for (uint64_t i = 0; i < target.count; i++) {
            uint64_t start = (target.first + i) << target_bits;
            uint64_t end = start + (1ull << target_bits);
            bool expected = has(before, i);
            for (uint64_t voff = start; voff < end && !expected; voff += 512) {
                uint64_t at = voff >> source_bits;
                expected =
                    at >= source.first && at - source.first < source.count && has(source.bytes, at - source.first);
            }
            assert_int_equal(has(target.bytes, i), expected);
        }
        free(before);
        free(source.bytes);
        free(target.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_and_cuts),
        cmocka_unit_test(merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
