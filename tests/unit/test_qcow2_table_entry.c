/* SPDX-License-Identifier: Apache-2.0 */
/* Entries by the tables of the specification, for images of each kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "guest/formats/qcow2/layout/qcow2_table_entry.h"

#define ALL QCOW2_SUBCLUSTERS_ALL
#define OFF 0x50000ull

enum image { STANDARD, EXTENDED, DATA_FILE, IMAGE_COUNT };

static const struct qcow2_header headers[IMAGE_COUNT] = {
    [STANDARD] = {.version = 3, .cluster_bits = 16, .cluster_len = 65536},
    [EXTENDED] = {.version = 3,
                  .cluster_bits = 16,
                  .cluster_len = 65536,
                  .incompatible_features = QCOW2_INCOMPATIBLE_EXTENDED_L2},
    [DATA_FILE] = {.version = 3,
                   .cluster_bits = 16,
                   .cluster_len = 65536,
                   .incompatible_features = QCOW2_INCOMPATIBLE_DATA_FILE},
};

static void entries_say(void **state)
{
    (void)state;
    static const struct {
        enum image image;
        struct qcow2_l2_entry entry;
        enum qcow2_l2_type type;
        uint32_t data;
        uint32_t zero;
        uint64_t len;
    } cases[] = {
        {STANDARD, {0, 0}, QCOW2_L2_NOTHING, 0, 0, 0},
        {STANDARD, {OFF | QCOW2_COPIED, 0}, QCOW2_L2_ALLOCATED, ALL, 0, 65536},
        {STANDARD, {OFF, 0}, QCOW2_L2_ALLOCATED, ALL, 0, 65536},
        {STANDARD, {QCOW2_L2_ZERO, 0}, QCOW2_L2_NOTHING, 0, ALL, 0},
        {STANDARD, {OFF | QCOW2_L2_ZERO, 0}, QCOW2_L2_ALLOCATED, 0, ALL, 65536},
        {STANDARD, {QCOW2_COPIED, 0}, QCOW2_L2_NOTHING, 0, 0, 0},
        /* A stream of two sectors and a part of a third one, at byte 0x1234. */
        {STANDARD, {QCOW2_COMPRESSED | 2ull << 54 | 0x1234, 0}, QCOW2_L2_COMPRESSED, 0, 0, 3 * 512 - 0x34},
        {EXTENDED, {0, 0}, QCOW2_L2_NOTHING, 0, 0, 0},
        {EXTENDED, {OFF | QCOW2_COPIED, 0x80000001}, QCOW2_L2_ALLOCATED, 0x80000001, 0, 65536},
        {EXTENDED, {OFF | QCOW2_COPIED, 0x6ull << 32 | 1}, QCOW2_L2_ALLOCATED, 1, 6, 65536},
        {EXTENDED, {0, (uint64_t)ALL << 32}, QCOW2_L2_NOTHING, 0, ALL, 0},
        {EXTENDED, {0, 1}, QCOW2_L2_NOTHING, 0, 0, 0}, /* not sound: data without a place */
        {EXTENDED, {QCOW2_COMPRESSED | 0x200, 0}, QCOW2_L2_COMPRESSED, 0, 0, 512},
        {DATA_FILE, {0, 0}, QCOW2_L2_NOTHING, 0, 0, 0},
        {DATA_FILE, {QCOW2_COPIED, 0}, QCOW2_L2_ALLOCATED, ALL, 0, 65536},
        {DATA_FILE, {QCOW2_COPIED | QCOW2_L2_ZERO, 0}, QCOW2_L2_NOTHING, 0, ALL, 65536},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct qcow2_header *header = &headers[cases[i].image];
        uint64_t off;
        uint64_t len;
        assert_int_equal(qcow2_l2_type_of(header, cases[i].entry.descriptor), cases[i].type);
        assert_int_equal(qcow2_l2_data_bits(header, cases[i].entry), cases[i].data);
        assert_int_equal(qcow2_l2_zero_bits(header, cases[i].entry), cases[i].zero);
        qcow2_l2_range(header, cases[i].entry.descriptor, &off, &len);
        assert_int_equal(len, cases[i].len);
    }
}

static void zeros_read_as_zeros(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMAGE_COUNT; i++) {
        struct qcow2_l2_entry entry = qcow2_l2_zero_entry(&headers[i]);
        assert_int_equal(qcow2_l2_zero_bits(&headers[i], entry), ALL);
        assert_int_equal(qcow2_l2_data_bits(&headers[i], entry), 0);
        assert_int_equal(qcow2_l2_type_of(&headers[i], entry.descriptor), QCOW2_L2_NOTHING);
    }
}

/* What was written is read again, up to the end of the last sector, for all lengths of clusters. */
static void streams_are_found_again(void **state)
{
    (void)state;
    for (uint32_t bits = QCOW2_CLUSTER_BITS_MIN; bits <= QCOW2_CLUSTER_BITS_MAX; bits++) {
        const struct qcow2_header header = {.version = 3, .cluster_bits = bits, .cluster_len = 1u << bits};
        const uint64_t offs[] = {1, 511, 512, 12345, (1ull << qcow2_compressed_off_bits(bits)) - (1u << bits)};
        const uint64_t lens[] = {1, 2, 511, 512, (1u << bits) - 1};
        for (size_t i = 0; i < ARRAY_COUNT(offs); i++) {
            for (size_t j = 0; j < ARRAY_COUNT(lens); j++) {
                uint64_t off;
                uint64_t len;
                uint64_t descriptor = qcow2_compressed_entry(bits, offs[i], lens[j]);
                assert_true(qcow2_l2_is_compressed(descriptor));
                qcow2_compressed_range(&header, descriptor, &off, &len);
                assert_int_equal(off, offs[i]);
                assert_in_range(len, lens[j], lens[j] + 511);
                assert_int_equal((off + len) % 512, 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_say),
        cmocka_unit_test(zeros_read_as_zeros),
        cmocka_unit_test(streams_are_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
