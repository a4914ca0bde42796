/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts, and the blocks that they are in. */
#include "test_qcow2_modify_support.h"

static void test_counters_come_with_a_longer_table(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_of(image_make("64", 64 * KIB, ROOM_LEN));
    uint64_t old_off = modify->qcow2->header.refcount_table_off;
    modify->append_next = 64 * 64 + 10; /* a table of one cluster has 64 entries, each for 64 clusters */
    while (references(modify, modify->append_next << CLUSTER_BITS) == 0 &&
           modify->qcow2->header.refcount_table_off == old_off) {
        assert_true(qcow2_modify_make_counters(modify, modify->append_next, &error));
    }
    assert_int_not_equal(modify->qcow2->header.refcount_table_off, old_off);
    assert_int_equal(references(modify, old_off), 0);
    assert_int_equal(references(modify, modify->qcow2->header.refcount_table_off), 1);
}

/* On devices of all sorts of lengths, as many clusters are given out as were promised. */
static void test_room_is_what_can_be_taken(void **state)
{
    (void)state;
    static const char *const widths[] = {"1", "16", "64"};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        for (uint64_t len = 20 * KIB; len < ROOM_LEN / 2; len += 237 * CLUSTER_LEN) {
            images_start();
            struct file *file = image_make(widths[i], 8 * KIB, ROOM_LEN);
            assert_true(native_file_set_len(file, len, &error));
            file->is_resizable = false;
            struct qcow2_modify *modify = modify_of(file);
            uint64_t room;
            uint64_t taken = 0;
            uint64_t off;
            uint64_t count;
            assert_true(qcow2_modify_count_room(modify, UINT64_MAX, &room, &error));
            while (qcow2_modify_take(modify, 7, &off, &count, &error)) {
                taken += count;
            }
            error = (struct error){0};
            assert_int_equal(taken, room);
            images_stop();
        }
    }
}

/* Of every width: neighbours stay, and what is taken back too often ends at 0. */
static void test_counters_of_every_width(void **state)
{
    (void)state;
    static const char *const widths[] = {"1", "2", "4", "8", "16", "32", "64"};
    for (uint32_t order = 0; order < sizeof(widths) / sizeof(widths[0]); order++) {
        images_stop();
        images_start();
        struct qcow2_modify *modify = modify_of(image_make(widths[order], 8 * KIB, ROOM_LEN));
        int64_t most = order == 0 ? 0 : 2; /* above the one that they have */
        uint64_t off;
        assert_true(qcow2_modify_append(modify, 37, &off, &error));
        uint64_t first = (off >> CLUSTER_BITS) + 1;
        assert_true(most == 0 || qcow2_modify_count(modify, first, 35, most, &error));
        for (uint64_t i = 0; i < 37; i++) {
            bool is_within = i > 0 && i < 36;
            assert_int_equal(references(modify, off + i * CLUSTER_LEN), 1 + (is_within ? most : 0));
        }
        assert_true(qcow2_modify_count(modify, first, 35, -5, &error));
        assert_int_equal(references(modify, off), 1);
        assert_int_equal(references(modify, off + CLUSTER_LEN), 0);
        assert_int_equal(references(modify, off + 36 * CLUSTER_LEN), 1);
    }
}

static void test_a_block_counts_itself(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t cluster = 256; /* of the second block */
    assert_false(qcow2_modify_count(modify, cluster, 1, 1, &error));
    error = (struct error){0};
    assert_true(qcow2_modify_count(modify, cluster, 1, -1, &error)); /* there is nothing to take back */
    modify->append_next = cluster;
    assert_true(qcow2_modify_grow_to(modify, (cluster + 1) << CLUSTER_BITS, &error));
    assert_true(qcow2_modify_make_counters(modify, cluster, &error));
    assert_int_equal(references(modify, cluster << CLUSTER_BITS), 1);
    assert_int_equal(modify->append_next, cluster + 1);
    assert_true(qcow2_modify_count(modify, cluster + 1, 1, 1, &error));
    assert_int_equal(references(modify, (cluster + 1) << CLUSTER_BITS), 1);
}

static void test_blocks_go_that_count_nothing_else(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off;
    uint64_t end_off;
    assert_true(qcow2_modify_append(modify, 600, &off, &error));
    assert_true(qcow2_modify_used_end(modify, &end_off, &error));
    assert_true(qcow2_modify_drop_empty_blocks(modify, 0, &error)); /* all count something */
    uint64_t used_off;
    assert_true(qcow2_modify_used_end(modify, &used_off, &error));
    assert_int_equal(used_off, end_off);
    assert_true(qcow2_modify_release(modify, off, 600 * CLUSTER_LEN, 0, &error));
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_true(qcow2_modify_drop_empty_blocks(modify, end_off, &error)); /* they lie before that */
    assert_true(qcow2_modify_used_end(modify, &used_off, &error));
    assert_true(used_off > modify->uncut_len);
    assert_true(qcow2_modify_drop_empty_blocks(modify, 0, &error));
    assert_true(qcow2_modify_used_end(modify, &used_off, &error));
    assert_int_equal(used_off, modify->uncut_len);
    expect_clean(modify->target.file);
}

/* Wherever there is no more room: the image is sound, and as long as it was. */
static void test_blocks_are_given_back(void **state)
{
    (void)state;
    static const uint64_t counts[] = {300, 900};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        bool success = false;
        for (uint64_t room_len = 0; !success; room_len += 7 * CLUSTER_LEN) {
            images_stop();
            images_start();
            struct qcow2_modify *modify = modify_of(image_make("64", 64 * KIB, ROOM_LEN));
            uint64_t len = modify->target.file->len;
            uint64_t off;
            native_file_fill(modify->target.file, len + room_len);
            success = qcow2_modify_take_loose(modify, counts[i], &off, &error) &&
                      qcow2_modify_write_zeroes(modify, off, counts[i] * CLUSTER_LEN, false, &error);
            error = (struct error){0};
            qcow2_modify_abandon(&modify->target);
            assert_int_equal(modify->target.file->len, len);
            expect_clean(modify->target.file);
        }
    }
}

static void test_entries_that_lead_to_no_block_are_found(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t table_off = modify->qcow2->header.refcount_table_off;
    bool has;
    assert_true(qcow2_modify_find_odd_blocks(modify, &has, &error));
    assert_false(has);
    assert_true(qcow2_modify_store_be64(modify, table_off + 63 * 8, ~511ull, QCOW2_AREA_REFCOUNT_TABLE, &error));
    assert_true(qcow2_modify_find_odd_blocks(modify, &has, &error));
    assert_true(has);
    assert_false(qcow2_modify_make_counters(modify, 63 * 256, &error));
    assert_non_null(strstr(error.detail, "Refblock offset 0xfffffffffffffe00 unaligned"));
    error = (struct error){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_counters_come_with_a_longer_table),
        cmocka_unit_test(test_room_is_what_can_be_taken),
        TEST_OF_IMAGE(test_counters_of_every_width),
        TEST_OF_IMAGE(test_a_block_counts_itself),
        TEST_OF_IMAGE(test_blocks_go_that_count_nothing_else),
        TEST_OF_IMAGE(test_blocks_are_given_back),
        TEST_OF_IMAGE(test_entries_that_lead_to_no_block_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
