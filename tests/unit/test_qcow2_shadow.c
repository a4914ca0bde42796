/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata that one write of the header makes valid. */
#include "test_qcow2_modify_support.h"

#include "guest/formats/qcow2/modify/qcow2_shadow.h"

static struct qcow2_shadow shadow;

static struct qcow2_modify *begin(struct file *file)
{
    struct qcow2_modify *modify = modify_of(file);
    assert_true(qcow2_shadow_begin(modify, &shadow, &error));
    return modify;
}

static void test_what_is_taken_is_nobodys(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t gap_off;
    uint64_t off;
    uint64_t other_off;
    assert_true(qcow2_modify_append(modify, 3, &gap_off, &error));
    assert_true(qcow2_modify_append(modify, 1, &off, &error));
    assert_true(qcow2_modify_release(modify, gap_off, 3 * CLUSTER_LEN, 0, &error));
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_true(qcow2_shadow_begin(modify, &shadow, &error));
    assert_true(qcow2_shadow_take(&shadow, 2, &off, &error));
    assert_int_equal(off, gap_off);
    assert_int_equal(references(modify, off), 0);                   /* no count tells of it */
    assert_true(qcow2_shadow_take(&shadow, 2, &other_off, &error)); /* one is left there, so behind the image */
    assert_true(other_off >> CLUSTER_BITS >= modify->append_next);
    assert_true(qcow2_shadow_take(&shadow, 500, &off, &error));
    assert_true(off >= other_off + 2 * CLUSTER_LEN || off + 500 * CLUSTER_LEN <= other_off);
}

/* A cluster with data that the new L1 table's room is taken for: before the switch nothing has changed, then all has.
 */
static bool l1_move(struct qcow2_modify *modify, bool switches)
{
    struct qcow2_header header = modify->qcow2->header;
    uint64_t old_off = header.l1_off;
    if (!qcow2_shadow_take(&shadow, 1, &header.l1_off, &error) ||
        !qcow2_modify_copy_table(modify, header.l1_off, CLUSTER_LEN, old_off, CLUSTER_LEN, &error)) {
        return false;
    }
    qcow2_shadow_add(&shadow, old_off, CLUSTER_LEN, -1);
    qcow2_shadow_add(&shadow, header.l1_off, CLUSTER_LEN, 1);
    return qcow2_shadow_write_refcounts(&shadow, &error) &&
           (!switches ||
            (qcow2_shadow_switch(&shadow, &header, &error) && qcow2_modify_finish(&modify->target, false, &error)));
}

static void test_the_header_makes_it_valid(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = begin(file);
    uint64_t old_off = modify->qcow2->header.l1_off;
    assert_true(l1_move(modify, true));
    assert_int_not_equal(modify->qcow2->header.l1_off, old_off);
    assert_int_equal(references(modify, old_off), 0);
    assert_int_equal(references(modify, modify->qcow2->header.l1_off), 1);
    expect_clean(file);
    assert_int_equal(qcow2_of(image_of(file, IMAGE_TO_READ))->header.l1_off, modify->qcow2->header.l1_off);
}

static void test_before_that_the_image_is_what_it_was(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    uint64_t len = file->len;
    static uint8_t before[16 * CLUSTER_LEN];
    memcpy(before, image_bytes(), sizeof(before));
    struct qcow2_modify *modify = begin(file);
    assert_true(l1_move(modify, false));
    expect_clean(file); /* by another job, with what is in the file */
    qcow2_shadow_abandon(&shadow);
    assert_int_equal(file->len, len);
    assert_memory_equal(image_bytes(), before, len);
    expect_clean(file);
    (void)modify;
}

/* Wherever there is no more room. */
static void test_a_full_disk_leaves_what_there_was(void **state)
{
    (void)state;
    static const char *const widths[] = {"1", "16", "64"};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        bool success = false;
        uint32_t failed_count = 0;
        for (uint64_t room_len = 0; !success; room_len += CLUSTER_LEN) {
            images_stop();
            images_start();
            struct file *file = image_make(widths[i], 64 * KIB, ROOM_LEN);
            uint64_t len = file->len;
            struct qcow2_modify *modify = begin(file);
            uint64_t old_off = modify->qcow2->header.l1_off;
            native_file_fill(file, len + room_len);
            success = l1_move(modify, true);
            if (!success) {
                error = (struct error){0};
                qcow2_shadow_abandon(&shadow);
                assert_int_equal(file->len, len);
                assert_int_equal(qcow2_of(image_of(file, IMAGE_TO_READ))->header.l1_off, old_off);
                failed_count++;
            }
            expect_clean(file);
        }
        assert_true(failed_count > 0);
    }
}

/* In qemu-img's words it is the caller who tells of it. */
static void test_a_count_that_gets_too_high_says_so(void **state)
{
    (void)state;
    struct file *file = image_make("1", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = begin(file);
    qcow2_shadow_add(&shadow, modify->qcow2->header.l1_off, CLUSTER_LEN, 1);
    assert_false(qcow2_shadow_write_refcounts(&shadow, &error));
    assert_int_equal(error.kind, ERROR_LIMIT);
    assert_int_equal(error.place[0], '\0');
    error = (struct error){0};
    qcow2_shadow_abandon(&shadow);
    expect_clean(file);
}

static void test_a_count_that_is_too_low_is_damage(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = begin(file);
    qcow2_shadow_add(&shadow, modify->qcow2->header.l1_off, CLUSTER_LEN, -2);
    assert_false(qcow2_shadow_write_refcounts(&shadow, &error));
    assert_int_equal(error.kind, ERROR_MALFORMED);
    error = (struct error){0};
    qcow2_shadow_abandon(&shadow);
    expect_clean(file);
}

static void test_references_have_a_bound(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = begin(file);
    for (uint32_t i = 0; i < QCOW2_SHADOW_REFERENCE_MAX; i++) {
        qcow2_shadow_add(&shadow, modify->qcow2->header.l1_off, CLUSTER_LEN, i % 2 == 0 ? 1 : -1);
        qcow2_shadow_add(&shadow, 0, 0, 1); /* nothing takes no room */
    }
    assert_int_equal(shadow.reference_count, QCOW2_SHADOW_REFERENCE_MAX);
    assert_false(qcow2_shadow_write_refcounts(&shadow, &error)); /* which has two more */
    assert_int_equal(error.kind, ERROR_GUEST);
    error = (struct error){0};
    qcow2_shadow_abandon(&shadow);
    expect_clean(file);
}

static void test_an_odd_refcount_table_is_refused(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(qcow2_modify_store_be64(modify, modify->qcow2->header.refcount_table_off + 8, ~511ull,
                                        QCOW2_AREA_REFCOUNT_TABLE, &error));
    modify = modify_of(file);
    assert_false(qcow2_shadow_begin(modify, &shadow, &error));
    assert_int_equal(error.kind, ERROR_MALFORMED);
    error = (struct error){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_what_is_taken_is_nobodys),
        TEST_OF_IMAGE(test_the_header_makes_it_valid),
        TEST_OF_IMAGE(test_before_that_the_image_is_what_it_was),
        TEST_OF_IMAGE(test_a_full_disk_leaves_what_there_was),
        TEST_OF_IMAGE(test_a_count_that_gets_too_high_says_so),
        TEST_OF_IMAGE(test_a_count_that_is_too_low_is_damage),
        TEST_OF_IMAGE(test_references_have_a_bound),
        TEST_OF_IMAGE(test_an_odd_refcount_table_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
