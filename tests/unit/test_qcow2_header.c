/* SPDX-License-Identifier: Apache-2.0 */
/* The header's parser: every limit from both sides, and that nothing gets past it under random damage. */
#include "guest/formats/qcow2/layout/qcow2_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"

enum field {
    VERSION = 4,
    BACKING_OFF = 8,
    CLUSTER_BITS = 20,
    SIZE = 24,
    CRYPT = 32,
    L1_COUNT = 36,
    L1_OFF = 40,
    REFCOUNT_OFF = 48,
    REFCOUNT_CLUSTERS = 56,
    SNAPSHOT_COUNT = 60,
    SNAPSHOTS_OFF = 64,
    INCOMPATIBLE = 72,
    REFCOUNT_ORDER = 96,
    HEADER_LEN = 100,
    COMPRESSION = 104,
};

static void put(uint8_t *bytes, enum field off, uint32_t len, uint64_t value)
{
    for (uint32_t i = 0; i < len; i++) {
        bytes[off + i] = (uint8_t)(value >> 8 * (len - i - 1));
    }
}

/* A header of version 3, of a disk of 1 GiB, that is in order. */
static void make_header(uint8_t *bytes)
{
    memset(bytes, 0, QCOW2_HEADER_READ_LEN);
    memcpy(bytes, "QFI\xfb", 4);
    put(bytes, VERSION, 4, 3);
    put(bytes, CLUSTER_BITS, 4, 16);
    put(bytes, SIZE, 8, 1u << 30);
    put(bytes, L1_COUNT, 4, 2);
    put(bytes, L1_OFF, 8, 0x30000);
    put(bytes, REFCOUNT_OFF, 8, 0x10000);
    put(bytes, REFCOUNT_CLUSTERS, 4, 1);
    put(bytes, REFCOUNT_ORDER, 4, 4);
    put(bytes, HEADER_LEN, 4, 112);
}

static bool parse(const uint8_t *bytes, struct qcow2_header *header, struct error *error)
{
    return qcow2_header_parse((struct span){bytes, QCOW2_HEADER_READ_LEN}, header, error) &&
           qcow2_header_check(header, false, error);
}

static void expect_good(const uint8_t *bytes)
{
    struct qcow2_header header;
    struct error error = {0};
    if (!parse(bytes, &header, &error)) {
        fail_msg("refused: %s", error.detail);
    }
}

static void expect_error(const uint8_t *bytes, const char *detail)
{
    struct qcow2_header header;
    struct error error = {0};
    assert_false(parse(bytes, &header, &error));
    assert_string_equal(error.detail, detail);
}

static void fields_are_read(void **state)
{
    (void)state;
    uint8_t bytes[QCOW2_HEADER_READ_LEN];
    struct qcow2_header header;
    struct error error = {0};
    make_header(bytes);
    assert_true(parse(bytes, &header, &error));
    assert_int_equal(header.version, 3);
    assert_int_equal(header.cluster_len, 65536);
    assert_int_equal(header.size, 1u << 30);
    assert_int_equal(header.l1_off, 0x30000);
    assert_int_equal(header.l1_entry_count, 2);
    assert_int_equal(header.refcount_table_off, 0x10000);
    assert_int_equal(qcow2_refcount_table_len(&header), 65536);
    assert_int_equal(header.refcount_order, 4);
    assert_int_equal(header.header_len, 112);
    assert_int_equal(qcow2_l2_bits(&header), 13);
}

static void version_2_has_its_own_values(void **state)
{
    (void)state;
    uint8_t bytes[QCOW2_HEADER_READ_LEN];
    struct qcow2_header header;
    struct error error = {0};
    make_header(bytes);
    put(bytes, VERSION, 4, 2);
    put(bytes, INCOMPATIBLE, 8, UINT64_MAX);
    put(bytes, REFCOUNT_ORDER, 4, 99);
    put(bytes, HEADER_LEN, 4, 0);
    put(bytes, COMPRESSION, 1, 1);
    assert_true(parse(bytes, &header, &error));
    assert_int_equal(header.incompatible_features, 0);
    assert_int_equal(header.refcount_order, 4);
    assert_int_equal(header.header_len, 72);
    assert_int_equal(header.compression_type, QCOW2_COMPRESSION_DEFLATE);
}

/* Each limit: the last value that is good, the first one that is not, and what is said then. */
static void limits_hold_on_both_sides(void **state)
{
    (void)state;
    static const struct {
        enum field off;
        uint32_t len;
        uint64_t good, bad;
        const char *detail;
    } limits[] = {
        {VERSION, 4, 3, 4, "Unsupported qcow2 version 4"},
        {VERSION, 4, 2, 1, "Unsupported qcow2 version 1"},
        {CLUSTER_BITS, 4, 16, 22, "Unsupported cluster size: 2^22"},
        {CLUSTER_BITS, 4, 16, 8, "Unsupported cluster size: 2^8"},
        {BACKING_OFF, 8, 65536, 65537, "Invalid backing file offset"},
        {SIZE, 8, 1u << 30, (1u << 30) + 1, "L1 table is too small"},
        {CRYPT, 4, 2, 3, "Unsupported encryption method 3"},
        {L1_COUNT, 4, 2, 1, "L1 table is too small"},
        {L1_COUNT, 4, 4u << 20, (4u << 20) + 1, "Active L1 table too large"},
        {L1_OFF, 8, 0x7fffffff00000000, 0x8000000000000000, "Active L1 table offset invalid"},
        {L1_OFF, 8, 0x10000, 0x10200, "Active L1 table offset invalid"},
        {REFCOUNT_OFF, 8, 0x7ffffffffffe0000, 0x7fffffffffff0000, "Reference count table offset invalid"},
        {REFCOUNT_CLUSTERS, 4, 1, 0, "Image does not contain a reference count table"},
        {REFCOUNT_CLUSTERS, 4, 128, 129, "Reference count table too large"},
        {SNAPSHOT_COUNT, 4, 65536, 65537, "Snapshot table too large"},
        {SNAPSHOTS_OFF, 8, 0x10000, 1, "Snapshot table offset invalid"},
        {REFCOUNT_ORDER, 4, 6, 7, "Reference count entry width too large; may not exceed 64 bits"},
        {HEADER_LEN, 4, 104, 103, "qcow2 header too short"},
        {HEADER_LEN, 4, 65536, 65537, "qcow2 header exceeds cluster size"},
        {COMPRESSION, 1, 0, 1, "qcow2: Compression type incompatible feature bit must be set"},
        {COMPRESSION, 1, 0, 2, "qcow2: unknown compression type: 2"},
        {INCOMPATIBLE, 8, 7, 8, "qcow2: Compression type incompatible feature bit must not be set"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        uint8_t bytes[QCOW2_HEADER_READ_LEN];
        make_header(bytes);
        put(bytes, limits[i].off, limits[i].len, limits[i].good);
        expect_good(bytes);
        put(bytes, limits[i].off, limits[i].len, limits[i].bad);
        expect_error(bytes, limits[i].detail);
    }
}

static void subclusters_have_a_sector(void **state)
{
    (void)state;
    uint8_t bytes[QCOW2_HEADER_READ_LEN];
    make_header(bytes);
    put(bytes, INCOMPATIBLE, 8, QCOW2_INCOMPATIBLE_EXTENDED_L2);
    put(bytes, SIZE, 8, 1u << 20);
    put(bytes, CLUSTER_BITS, 4, 14);
    expect_good(bytes);
    put(bytes, CLUSTER_BITS, 4, 13);
    expect_error(bytes, "Unsupported subcluster size: 256");
}

static void check_accepts_what_it_tells_about(void **state)
{
    (void)state;
    uint8_t bytes[QCOW2_HEADER_READ_LEN];
    struct qcow2_header header;
    struct error error = {0};
    make_header(bytes);
    put(bytes, REFCOUNT_CLUSTERS, 4, 0);
    put(bytes, SNAPSHOTS_OFF, 8, 1);
    assert_true(qcow2_header_parse((struct span){bytes, sizeof(bytes)}, &header, &error));
    assert_true(qcow2_header_check(&header, true, &error));
}

static void short_files_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[QCOW2_HEADER_READ_LEN];
    struct qcow2_header header;
    make_header(bytes);
    for (size_t len = 0; len < sizeof(bytes); len++) {
        struct error error = {0};
        assert_false(qcow2_header_parse((struct span){bytes, len}, &header, &error));
    }
}

/* What the rest of the format relies on, for whatever is accepted. */
static void check_promises(const struct qcow2_header *header)
{
    assert_in_range(header->cluster_bits, 9, 21);
    assert_int_equal(header->cluster_len, 1u << header->cluster_bits);
    assert_in_range(header->refcount_order, 0, 6);
    assert_true(header->header_len <= header->cluster_len);
    assert_true(header->backing_name_off <= header->cluster_len);
    assert_true(header->size <= QCOW2_LEN_MAX);
    assert_true(header->crypt_method <= QCOW2_CRYPT_LUKS);
    assert_true(header->compression_type <= QCOW2_COMPRESSION_ZSTD);
    assert_int_equal(header->l1_off % header->cluster_len, 0);
    assert_true(range_is_within(header->l1_off, qcow2_l1_len(header), INT64_MAX));
    assert_true(qcow2_l1_len(header) <= QCOW2_L1_LEN_MAX);
    assert_true(range_is_within(header->refcount_table_off, qcow2_refcount_table_len(header), INT64_MAX));
    assert_true(qcow2_refcount_table_len(header) <= QCOW2_REFCOUNT_TABLE_LEN_MAX);
    uint32_t l1_entry_bits = header->cluster_bits + qcow2_l2_bits(header);
    assert_true(header->size == 0 || (header->size - 1) >> l1_entry_bits < header->l1_entry_count);
}

static void damage_does_not_get_through(void **state)
{
    (void)state;
    uint32_t accepted = 0;
    srand(2);
    for (uint32_t round = 0; round < 200000; round++) {
        uint8_t bytes[QCOW2_HEADER_READ_LEN];
        struct qcow2_header header;
        struct error error = {0};
        make_header(bytes);
        for (int i = rand() % 4; i >= 0; i--) {
            size_t off = (size_t)rand() % sizeof(bytes);
            int value = rand() % 2 == 0 ? rand() : bytes[off] ^ (1 << rand() % 8);
            bytes[off] = (uint8_t)value;
        }
        if (parse(bytes, &header, &error)) {
            check_promises(&header);
            accepted++;
        } else {
            assert_true(error_is_set(&error));
        }
    }
    assert_in_range(accepted, 10000, 190000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(version_2_has_its_own_values),
        cmocka_unit_test(limits_hold_on_both_sides),
        cmocka_unit_test(subclusters_have_a_sector),
        cmocka_unit_test(check_accepts_what_it_tells_about),
        cmocka_unit_test(short_files_are_refused),
        cmocka_unit_test(damage_does_not_get_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
