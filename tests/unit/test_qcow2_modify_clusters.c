/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters that a change takes and releases. */
#include "test_qcow2_modify_support.h"

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

static void test_free_clusters_within_come_before_the_end(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t run_off;
    uint64_t off;
    uint64_t count;
    assert_true(qcow2_modify_append(modify, 4, &run_off, &error));
    assert_true(qcow2_modify_append(modify, 1, &off, &error));
    assert_true(qcow2_modify_release(modify, run_off, 4 * CLUSTER_LEN, 0, &error));
    assert_true(qcow2_modify_take_run(modify, 4, &off, &error));
    assert_int_not_equal(off, run_off); /* until the checkpoint they are somebody's */
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_true(qcow2_modify_take_run(modify, 4, &off, &error));
    assert_int_equal(off, run_off);
    assert_true(qcow2_modify_release(modify, run_off + CLUSTER_LEN, CLUSTER_LEN, 0, &error));
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_true(qcow2_modify_take(modify, 1, &off, &count, &error));
    assert_int_equal(off, run_off + CLUSTER_LEN);
}

static void test_releases_have_a_bound(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off;
    assert_true(qcow2_modify_append(modify, 2, &off, &error));
    for (uint32_t i = 0; i < QCOW2_RELEASE_MAX; i++) {
        assert_true(qcow2_modify_release(modify, off, CLUSTER_LEN, 0, &error));
    }
    assert_false(qcow2_modify_release(modify, off, CLUSTER_LEN, 0, &error));
    assert_int_equal(error.kind, ERROR_GUEST);
    error = (struct error){0};
    assert_true(qcow2_modify_release_all(modify, &error));
    assert_int_equal(references(modify, off), 0); /* as often as it was released: never below 0 */
    assert_int_equal(references(modify, off + CLUSTER_LEN), 1);
}

/* What is loose goes when the change fails, what is tied stays. */
static void test_loose_clusters_are_given_back(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t loose_off;
    uint64_t tied_off;
    assert_true(qcow2_modify_take_loose(modify, 3, &loose_off, &error));
    assert_true(qcow2_modify_take_loose(modify, 3, &tied_off, &error));
    qcow2_modify_tie(modify, tied_off, 3);
    qcow2_modify_abandon(&modify->target);
    for (uint64_t at = 0; at < 3 * CLUSTER_LEN; at += CLUSTER_LEN) {
        assert_int_equal(references(modify, loose_off + at), 0);
        assert_int_equal(references(modify, tied_off + at), 1);
    }
}

/* A list that could not be taken back as a whole is not taken back again. */
static void test_no_reference_is_taken_back_twice(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    struct qcow2_releases releases = {0};
    uint64_t off;
    assert_true(qcow2_modify_append(modify, 1, &off, &error));
    assert_true(qcow2_modify_count(modify, off >> CLUSTER_BITS, 1, 2, &error));
    assert_true(qcow2_releases_add(&releases, 1, 1));
    assert_true(qcow2_releases_add(&releases, off >> CLUSTER_BITS, 1));
    native_file_fill(modify->target.file, 0);
    assert_false(qcow2_modify_release_list(modify, &releases, &error));
    error = (struct error){0};
    modify->target.error = (struct error){0};
    native_file_fill(modify->target.file, UINT64_MAX);
    assert_true(qcow2_modify_release_list(modify, &releases, &error));
    assert_int_equal(releases.count, 0);
    assert_int_equal(references(modify, off), 3);
}

static void test_the_used_end_is_behind_the_last_cluster(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t used_off;
    uint64_t off;
    assert_true(qcow2_modify_append(modify, 10, &off, &error));
    assert_true(qcow2_modify_used_end(modify, &used_off, &error));
    assert_int_equal(used_off, off + 10 * CLUSTER_LEN);
    assert_true(qcow2_modify_release(modify, off + 3 * CLUSTER_LEN, 7 * CLUSTER_LEN, 0, &error));
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_true(qcow2_modify_used_end(modify, &used_off, &error));
    assert_int_equal(used_off, off + 3 * CLUSTER_LEN);
}

static void test_own_is_what_nobody_else_refers_to(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    const struct {
        uint64_t off;
        uint64_t len;
        uint32_t own;
        bool is_own;
    } cases[] = {
        {modify->qcow2->header.l1_off, 8, QCOW2_AREA_L1, true},
        {modify->qcow2->header.l1_off, 8, 0, false},
        {modify->target.file->len, CLUSTER_LEN, 0, false},
    };
    bool is_own;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(qcow2_modify_is_own(modify, cases[i].off, cases[i].len, cases[i].own, &is_own, &error));
        assert_int_equal(is_own, cases[i].is_own);
    }
    uint64_t off;
    assert_true(qcow2_modify_append(modify, 2, &off, &error));
    assert_true(qcow2_modify_is_own(modify, off, 2 * CLUSTER_LEN, 0, &is_own, &error));
    assert_true(is_own);
    assert_true(qcow2_modify_count(modify, (off >> CLUSTER_BITS) + 1, 1, 1, &error));
    assert_true(qcow2_modify_is_own(modify, off, 2 * CLUSTER_LEN, 0, &is_own, &error));
    assert_false(is_own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_what_is_taken_is_counted_at_once),
        TEST_OF_IMAGE(test_a_run_is_in_one_piece),
        TEST_OF_IMAGE(test_what_is_appended_is_behind_all_others),
        TEST_OF_IMAGE(test_a_release_counts_from_the_checkpoint_on),
        TEST_OF_IMAGE(test_metadata_is_not_released_as_data),
        TEST_OF_IMAGE(test_free_clusters_within_come_before_the_end),
        TEST_OF_IMAGE(test_releases_have_a_bound),
        TEST_OF_IMAGE(test_loose_clusters_are_given_back),
        TEST_OF_IMAGE(test_no_reference_is_taken_back_twice),
        TEST_OF_IMAGE(test_the_used_end_is_behind_the_last_cluster),
        TEST_OF_IMAGE(test_own_is_what_nobody_else_refers_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
