/* SPDX-License-Identifier: Apache-2.0 */
/* How the file of an image that changes is written to, and made longer. */
#include "test_qcow2_modify_support.h"

#include "guest/image/io.h"

/* Clusters that are nobody's, with the byte all over. */
static uint64_t cluster_filled(struct qcow2_modify *modify, uint8_t byte, uint64_t count)
{
    uint8_t cluster[CLUSTER_LEN];
    uint64_t off;
    memset(cluster, byte, sizeof(cluster));
    assert_true(qcow2_modify_append(modify, count, &off, &error));
    for (uint64_t i = 0; i < count; i++) {
        assert_true(qcow2_modify_write(modify, off + i * CLUSTER_LEN, cluster, CLUSTER_LEN, 0, &error));
    }
    return off;
}

static void test_a_word_changes_and_its_neighbours_stay(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off = cluster_filled(modify, 0xaa, 2);
    uint64_t value;
    assert_true(qcow2_modify_store_be64(modify, off + 504, 0x0102030405060708, 0, &error));
    static const uint8_t expected[] = {0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 0xaa};
    assert_memory_equal(image_bytes() + off + 503, expected, sizeof(expected));
    /* Who reads through the cache sees it, too. */
    assert_true(cache_read_be64(modify->image->environment->cache, modify->target.file, off + 504, &value, &error));
    assert_int_equal(value, 0x0102030405060708);
}

static void test_bytes_over_the_border_of_sectors(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off = cluster_filled(modify, 0xaa, 2);
    assert_true(qcow2_modify_store(modify, off + 510, "abcd", 4, 0, &error));
    assert_memory_equal(image_bytes() + off + 509,
                        "\xaa"
                        "abcd\xaa",
                        6);
}

static void test_metadata_is_written_to_by_its_owner_only(void **state)
{
    (void)state;
    static uint8_t before[4 * CLUSTER_LEN];
    struct qcow2_modify *modify = modify_make(64 * KIB);
    struct file *file = modify->target.file;
    uint64_t len = file->len;
    memcpy(before, image_bytes(), sizeof(before));
    assert_false(qcow2_modify_write(modify, 0, before, CLUSTER_LEN, 0, &error));
    assert_non_null(strstr(error.detail, "qcow2_header"));
    error = (struct error){0};
    assert_false(qcow2_modify_store_be64(modify, modify->qcow2->header.refcount_table_off, 1, QCOW2_AREA_L1, &error));
    assert_non_null(strstr(error.detail, "refcount table"));
    error = (struct error){0};
    assert_memory_equal(image_bytes(), before, sizeof(before));
    assert_int_equal(file->len, len);
    assert_true(qcow2_modify_write(modify, 0, before, CLUSTER_LEN, QCOW2_AREA_HEADER, &error));
}

/* A table that is longer than what is copied at once, and a target that is longer than it. */
static void test_a_copied_table_ends_with_zeros(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t len = QCOW2_STORE_LEN_MAX + 3 * CLUSTER_LEN;
    uint64_t copy_len = QCOW2_STORE_LEN_MAX + CLUSTER_LEN + 8;
    uint64_t source_off = cluster_filled(modify, 1, len / CLUSTER_LEN);
    uint64_t off = cluster_filled(modify, 0xaa, len / CLUSTER_LEN);
    assert_true(qcow2_modify_copy_table(modify, off, len, source_off, copy_len, &error));
    for (uint64_t i = 0; i < len; i++) {
        assert_int_equal(image_bytes()[off + i], i < copy_len);
    }
}

static void test_zeros_are_where_they_are_asked_for(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off = cluster_filled(modify, 0xaa, 4);
    assert_true(qcow2_modify_write_zeroes(modify, off + CLUSTER_LEN, 2 * CLUSTER_LEN, true, &error));
    for (uint64_t i = 0; i < 4 * CLUSTER_LEN; i++) {
        assert_int_equal(image_bytes()[off + i], i / CLUSTER_LEN == 1 || i / CLUSTER_LEN == 2 ? 0 : 0xaa);
    }
    assert_false(qcow2_modify_write_zeroes(modify, 0, CLUSTER_LEN, true, &error));
    error = (struct error){0};
    assert_memory_equal(image_bytes(), "QFI\xfb", 4);
}

/* It grows by more than is needed, and ends with what was written. */
static void test_the_file_ends_where_the_image_does(void **state)
{
    (void)state;
    static const uint8_t data[CLUSTER_LEN] = {1};
    struct qcow2_modify *modify = modify_make(64 * KIB);
    struct file *file = modify->target.file;
    uint64_t off;
    assert_true(qcow2_modify_append(modify, 1, &off, &error));
    assert_true(file->len > off + CLUSTER_LEN);
    assert_true(qcow2_modify_write(modify, off, data, CLUSTER_LEN, 0, &error));
    assert_true(qcow2_modify_finish(&modify->target, true, &error));
    assert_int_equal(file->len, off + CLUSTER_LEN);
}

static void test_what_cannot_grow_says_so(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    file->is_resizable = false;
    struct qcow2_modify *modify = modify_of(file);
    uint64_t len = file->len;
    assert_true(qcow2_modify_grow_to(modify, len, &error));
    assert_false(qcow2_modify_grow_to(modify, len + 1, &error));
    assert_int_equal(error.kind, ERROR_NO_SPACE);
    error = (struct error){0};
    assert_int_equal(file->len, len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_a_word_changes_and_its_neighbours_stay),
        TEST_OF_IMAGE(test_bytes_over_the_border_of_sectors),
        TEST_OF_IMAGE(test_metadata_is_written_to_by_its_owner_only),
        TEST_OF_IMAGE(test_a_copied_table_ends_with_zeros),
        TEST_OF_IMAGE(test_zeros_are_where_they_are_asked_for),
        TEST_OF_IMAGE(test_the_file_ends_where_the_image_does),
        TEST_OF_IMAGE(test_what_cannot_grow_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
