/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of L1 and L2 tables that change. */
#include "test_qcow2_modify_support.h"

static void test_entries_are_in_the_file_from_the_checkpoint_on(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    struct qcow2_l2_entry slot;
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

static void test_what_tables_lead_to_is_dropped_with_them(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    static uint8_t data[64 * KIB] = {7};
    assert_true(disk_write(modify, 0, data, sizeof(data)));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    snapshot_add(modify->target.file);
    modify = modify_of(modify->target.file);
    uint64_t table_off = stored_table(modify) & QCOW2_L1_OFFSET_MASK;
    uint64_t len = modify->target.file->len;
    uint64_t cluster_off = stored_entry(modify) & QCOW2_L2_OFFSET_MASK;
    assert_int_equal(references(modify, cluster_off), 2);
    assert_true(qcow2_modify_drop_tables(modify, 0, &error));
    assert_int_equal(references(modify, table_off), 1);
    assert_int_equal(references(modify, cluster_off), 1);
    assert_int_equal(modify->target.file->len, len); /* it takes no room */
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

static void test_a_table_with_an_odd_entry_stays(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    static uint8_t data[64 * KIB] = {7};
    assert_true(disk_write(modify, 0, data, sizeof(data)));
    assert_true(qcow2_modify_checkpoint(modify, &error));
    uint64_t table_off = stored_table(modify) & QCOW2_L1_OFFSET_MASK;
    assert_true(qcow2_modify_store_be64(modify, table_off + 8, modify->qcow2->header.l1_off, QCOW2_AREA_L2, &error));
    assert_false(qcow2_modify_drop_tables(modify, 0, &error));
    assert_non_null(strstr(error.detail, "overlaps with active L1 table"));
    assert_int_equal(stored_table(modify), table_off | QCOW2_COPIED);
    assert_int_equal(references(modify, stored_entry(modify) & QCOW2_L2_OFFSET_MASK), 1);
}

/* Of more tables than there are slices, those that were used the longest time ago are written, and read again. */
static void test_slices_make_room_for_others(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(2 * QCOW2_SLICE_COUNT * 32 * KIB);
    struct qcow2_l2_entry slot;
    for (uint64_t i = 0; i < 2 * QCOW2_SLICE_COUNT; i++) {
        uint64_t off;
        uint64_t count;
        assert_true(qcow2_modify_prepare(modify, i * 32 * KIB, &error));
        assert_true(qcow2_modify_take(modify, 1, &off, &count, &error));
        qcow2_modify_set(modify, i * 32 * KIB, (struct qcow2_l2_entry){.descriptor = off | QCOW2_COPIED});
    }
    for (uint64_t i = 0; i < 2 * QCOW2_SLICE_COUNT; i++) {
        assert_true(qcow2_modify_get(modify, i * 32 * KIB, &slot, &error));
        assert_true((slot.descriptor & QCOW2_COPIED) != 0);
        assert_int_equal(references(modify, slot.descriptor & QCOW2_L2_OFFSET_MASK), 1);
    }
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

static void test_behind_the_l1_table_there_is_nothing(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    struct qcow2_l2_entry slot;
    uint64_t len;
    assert_false(qcow2_modify_get(modify, 64 * KIB, &slot, &error));
    assert_non_null(strstr(error.detail, "the L1 table is too short"));
    error = (struct error){0};
    assert_false(qcow2_modify_prepare(modify, UINT64_MAX, &error));
    error = (struct error){0};
    assert_false(qcow2_modify_empty_len(modify, 64 * KIB, &len, &error));
    error = (struct error){0};
    assert_true(qcow2_modify_empty_len(modify, 32 * KIB + 5, &len, &error));
    assert_int_equal(len, 32 * KIB - 5);
}

/* Wherever an L1 entry leads that cannot be a table's, nothing is read or written there. */
static void test_odd_tables_are_refused(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    const struct {
        uint64_t entry;
        const char *text;
    } cases[] = {
        {QCOW2_COPIED | 0x800200, "behind the end of the file"},
        {QCOW2_COPIED | modify->qcow2->header.l1_off, "overlaps with active L1 table"},
        {modify->qcow2->header.refcount_table_off, "overlaps with refcount table"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(
            qcow2_modify_store_be64(modify, modify->qcow2->header.l1_off, cases[i].entry, QCOW2_AREA_L1, &error));
        assert_false(qcow2_modify_prepare(modify, 0, &error));
        assert_non_null(strstr(error.detail, cases[i].text));
        error = (struct error){0};
    }
}

/* Entries that lead nowhere, but have bits set. */
static void test_the_l1_table_is_tidied(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    assert_true(qcow2_modify_store_be64(modify, modify->qcow2->header.l1_off, QCOW2_COPIED | 1, QCOW2_AREA_L1, &error));
    assert_true(qcow2_modify_tidy_l1(modify, &error));
    assert_int_equal(stored_table(modify), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_entries_are_in_the_file_from_the_checkpoint_on),
        TEST_OF_IMAGE(test_tables_that_are_dropped_are_free),
        TEST_OF_IMAGE(test_what_tables_lead_to_is_dropped_with_them),
        TEST_OF_IMAGE(test_a_table_with_an_odd_entry_stays),
        TEST_OF_IMAGE(test_slices_make_room_for_others),
        TEST_OF_IMAGE(test_behind_the_l1_table_there_is_nothing),
        TEST_OF_IMAGE(test_odd_tables_are_refused),
        TEST_OF_IMAGE(test_the_l1_table_is_tidied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
