/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of which a change of a qcow2 image consists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_qcow2_modify_support.h"

/* Entry 0 of the L2 table of the disk's first cluster, as the file has it. */
static uint64_t stored_entry(struct qcow2_modify *modify)
{
    uint64_t l2_off;
    uint64_t entry;
    struct cache *cache = modify->image->environment->cache;
    assert_true(cache_read_be64(cache, modify->target.file, modify->qcow2->header.l1_off, &l2_off, &error));
    assert_true(cache_read_be64(cache, modify->target.file, l2_off & QCOW2_L1_OFFSET_MASK, &entry, &error));
    return entry;
}

/* A new cluster for the disk's first one, as the disk's writer does it. */
static uint64_t entry_set(struct qcow2_modify *modify)
{
    uint64_t off;
    uint64_t count;
    assert_true(qcow2_modify_prepare(modify, 0, &error));
    assert_true(qcow2_modify_take(modify, 1, &off, &count, &error));
    qcow2_modify_set(modify, 0, (struct qcow2_slot){.descriptor = off | QCOW2_COPIED});
    return off;
}

static void test_what_is_taken_is_counted_at_once(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off;
    uint64_t count;
    assert_true(qcow2_modify_take(modify, 2, &off, &count, &error));
    assert_int_equal(count, 2);
    assert_int_equal(references(modify, off), 1);
    assert_int_equal(references(modify, modify->reserve.next << CLUSTER_BITS), 1);
    uint64_t reserved_off = modify->reserve.next << CLUSTER_BITS;
    assert_true(qcow2_modify_give_back(modify, &error));
    assert_int_equal(references(modify, reserved_off), 0);
    assert_int_equal(references(modify, off), 1);
}

static void test_a_run_is_in_one_piece(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    static const uint64_t counts[] = {1, 3, 300, 2000}; /* more than a block of counters has, too: 256 */
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint64_t off;
        assert_true(qcow2_modify_take_run(modify, counts[i], &off, &error));
        for (uint64_t at = 0; at < counts[i]; at++) {
            assert_int_equal(references(modify, off + at * CLUSTER_LEN), 1);
        }
        assert_true(modify->target.file->len >= off + counts[i] * CLUSTER_LEN);
    }
}

static void test_what_is_appended_is_behind_all_others(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t end_off = modify->target.file->len;
    uint64_t off;
    assert_true(qcow2_modify_append(modify, 5, &off, &error));
    assert_true(off >= end_off);
    assert_int_equal(references(modify, off + 4 * CLUSTER_LEN), 1);
}

static void test_a_release_counts_from_the_checkpoint_on(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off;
    uint64_t count;
    assert_true(qcow2_modify_take(modify, 1, &off, &count, &error));
    assert_true(qcow2_modify_release(modify, off, CLUSTER_LEN, 0, &error));
    assert_int_equal(references(modify, off), 1);
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_int_equal(references(modify, off), 0);
}

static void test_metadata_is_not_released_as_data(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    assert_false(qcow2_modify_release(modify, 0, CLUSTER_LEN, 0, &error));
    assert_non_null(strstr(error.detail, "overlaps with"));
    error = (struct error){0};
}

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

static void test_entries_are_in_the_file_from_the_checkpoint_on(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    struct qcow2_slot slot;
    uint64_t off = entry_set(modify);
    assert_true(qcow2_modify_get(modify, 0, &slot, &error));
    assert_int_equal(slot.descriptor, off | QCOW2_COPIED);
    assert_int_equal(stored_entry(modify), 0);
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_int_equal(stored_entry(modify), off | QCOW2_COPIED);
}

static void test_tables_that_are_dropped_are_free(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t len;
    (void)entry_set(modify);
    assert_true(qcow2_modify_empty_len(modify, 0, &len, &error));
    assert_int_equal(len, 0);
    assert_true(qcow2_modify_forget(modify, 0, &error));
    assert_true(qcow2_modify_drop_tables(modify, 0, &error));
    assert_true(qcow2_modify_empty_len(modify, 0, &len, &error));
    assert_int_equal(len, 64 * CLUSTER_LEN);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

static void stream_done(struct target_write *write, const struct error *failure)
{
    assert_null(failure);
    *(bool *)write->owner = true;
}

static void test_streams_share_a_cluster(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    const struct target_compression compression = {.level = TARGET_LEVEL_DEFAULT};
    static uint8_t stream[100] = {3}; /* nobody expands it here */
    assert_true(qcow2_modify_begin_compression(&modify->target, &compression, &error));
    for (uint64_t i = 0; i < 3; i++) {
        bool is_done = false;
        struct target_write write = {.done = stream_done, .owner = &is_done};
        assert_true(qcow2_modify_write_compressed(&modify->target, &write, i * CLUSTER_LEN,
                                                  (struct span){stream, sizeof(stream)}, &error));
        assert_true(is_done);
    }
    assert_int_equal(references(modify, modify->pack.cluster << CLUSTER_BITS), 1);
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_int_equal(references(modify, modify->pack.cluster << CLUSTER_BITS), 3);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

static void test_what_was_not_finished_is_given_back(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t kept_off = entry_set(modify);
    assert_true(qcow2_modify_checkpoint(modify, &error));
    uint64_t other_off;
    uint64_t count;
    assert_true(qcow2_modify_prepare(modify, CLUSTER_LEN, &error));
    assert_true(qcow2_modify_take(modify, 1, &other_off, &count, &error));
    qcow2_modify_set(modify, CLUSTER_LEN, (struct qcow2_slot){.descriptor = other_off | QCOW2_COPIED});
    uint64_t new_off = entry_set(modify); /* instead of what is in the file */
    assert_true(qcow2_modify_release(modify, kept_off, CLUSTER_LEN, 0, &error));
    qcow2_modify_abandon(&modify->target);
    assert_int_equal(references(modify, kept_off), 1);
    assert_int_equal(references(modify, other_off), 0);
    assert_int_equal(references(modify, new_off), 0);
    assert_int_equal(stored_entry(modify), kept_off | QCOW2_COPIED);
    expect_clean(modify->target.file);
}

static void test_a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    static uint8_t data[64 * KIB];
    struct file *file = image_make("16", 4u << 20, 2u << 20);
    struct qcow2_modify *modify = modify_of(file);
    memset(data, 5, sizeof(data));
    bool success = true;
    for (uint64_t voff = 0; success && voff < 4u << 20; voff += sizeof(data)) {
        success = disk_write(modify, voff, data, sizeof(data));
    }
    assert_false(success);
    error = (struct error){0};
    qcow2_modify_abandon(&modify->target);
    expect_clean(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_what_is_taken_is_counted_at_once),
        TEST_OF_IMAGE(test_a_run_is_in_one_piece),
        TEST_OF_IMAGE(test_what_is_appended_is_behind_all_others),
        TEST_OF_IMAGE(test_a_release_counts_from_the_checkpoint_on),
        TEST_OF_IMAGE(test_metadata_is_not_released_as_data),
        TEST_OF_IMAGE(test_counters_come_with_a_longer_table),
        cmocka_unit_test(test_room_is_what_can_be_taken),
        TEST_OF_IMAGE(test_entries_are_in_the_file_from_the_checkpoint_on),
        TEST_OF_IMAGE(test_tables_that_are_dropped_are_free),
        TEST_OF_IMAGE(test_streams_share_a_cluster),
        TEST_OF_IMAGE(test_what_was_not_finished_is_given_back),
        TEST_OF_IMAGE(test_a_full_disk_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
