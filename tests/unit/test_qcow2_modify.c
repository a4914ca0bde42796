/* SPDX-License-Identifier: Apache-2.0 */
/* A change of a qcow2 image that fails: what there was before is what there is afterwards. */
#include "test_qcow2_modify_support.h"

#include "guest/formats/qcow2/change/qcow2_change.h"

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
    qcow2_modify_set(modify, CLUSTER_LEN, (struct qcow2_l2_entry){.descriptor = other_off | QCOW2_COPIED});
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

static void test_a_table_that_was_not_written_to_is_given_back(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t len = modify->target.file->len;
    assert_true(qcow2_modify_prepare(modify, 0, &error));
    assert_true(qcow2_modify_prepare(modify, 32 * KIB, &error));
    assert_int_not_equal(stored_table(modify), 0);
    qcow2_modify_abandon(&modify->target);
    assert_int_equal(stored_table(modify), 0);
    assert_int_equal(modify->target.file->len, len);
    expect_clean(modify->target.file);
}

static void test_so_is_one_that_a_snapshot_has(void **state)
{
    (void)state;
    for (uint32_t has_checkpoint = 0; has_checkpoint < 2; has_checkpoint++) {
        struct qcow2_modify *modify = modify_make(64 * KIB);
        static const uint8_t data[CLUSTER_LEN] = {7};
        assert_true(disk_write(modify, 0, data, sizeof(data)));
        assert_true(qcow2_modify_finish(&modify->target, false, &error));
        snapshot_add(modify->target.file);
        modify = modify_of(modify->target.file);
        uint64_t len = modify->target.file->len;
        uint64_t shared = stored_table(modify);
        assert_int_equal(references(modify, shared & QCOW2_L1_OFFSET_MASK), 2);
        assert_true(qcow2_modify_prepare(modify, 0, &error));
        assert_int_not_equal(stored_table(modify), shared);
        assert_true(has_checkpoint == 0 || qcow2_modify_checkpoint(modify, &error));
        assert_int_equal(references(modify, shared & QCOW2_L1_OFFSET_MASK), has_checkpoint == 0 ? 2 : 1);
        qcow2_modify_abandon(&modify->target);
        assert_int_equal(stored_table(modify), shared);
        assert_int_equal(references(modify, shared & QCOW2_L1_OFFSET_MASK), 2);
        assert_true(modify->target.file->len <= len);
        expect_clean(modify->target.file);
    }
}

/* An image with a bitmap and a snapshot, whose first L2 table it shares, and without clusters that are free. */
static struct file *full_image_make(void)
{
    struct file *file = image_make("64", 96 * KIB, ROOM_LEN);
    static const uint8_t data[CLUSTER_LEN + 100] = {7};
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, 0, data, sizeof(data)));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    bitmap_add(file, "tracks", true);
    snapshot_add(file);
    uint64_t len = file->len;
    for (uint64_t voff = 64 * KIB; file->len == len; voff += CLUSTER_LEN) { /* ends: clusters are short, disks longer */
        modify = modify_of(file);
        assert_true(disk_write(modify, voff, data, CLUSTER_LEN));
        assert_true(qcow2_modify_finish(&modify->target, false, &error));
    }
    return file;
}

/* The image is resized where there is room for ever more, until that is enough: before, it stays what it was. */
static void expect_all_or_nothing(uint64_t new_len, enum resize_preallocation preallocation)
{
    uint32_t failed_count = 0;
    bool success = false;
    for (uint64_t room_len = 0; !success; room_len += CLUSTER_LEN) {
        images_stop();
        images_start();
        struct file *file = full_image_make();
        uint64_t len = file->len;
        native_file_fill(file, len + room_len);
        struct image *image = image_of(file, IMAGE_TO_CHANGE);
        struct qcow2_header header = qcow2_of(image)->header;
        const struct resize_plan plan = {.virtual_len = new_len, .preallocation = preallocation};
        success = qcow2_resize(image, &plan, &error);
        error = (struct error){0};
        expect_clean(file);
        uint64_t bits;
        assert_false(bitmap_at(file, 0, &bits).is_inconsistent);
        if (!success) {
            failed_count++;
            const struct qcow2_header *after = &qcow2_of(image_of(file, IMAGE_TO_READ))->header;
            assert_int_equal(after->size, header.size);
            assert_int_equal(after->l1_off, header.l1_off);
            assert_int_equal(after->l1_entry_count, header.l1_entry_count);
            assert_int_equal(file->len, len);
        }
    }
    assert_true(failed_count > 0);
}

static void test_a_disk_gets_longer_or_stays(void **state)
{
    (void)state;
    expect_all_or_nothing(256 * KIB, RESIZE_PREALLOCATE_METADATA);
    expect_all_or_nothing(256 * KIB, RESIZE_PREALLOCATE_FULL);
    expect_all_or_nothing(16 << 20, RESIZE_PREALLOCATE_OFF);
}

static void test_a_disk_gets_shorter_or_stays(void **state)
{
    (void)state;
    expect_all_or_nothing(512, RESIZE_PREALLOCATE_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_what_was_not_finished_is_given_back),
        TEST_OF_IMAGE(test_a_full_disk_leaves_nothing),
        TEST_OF_IMAGE(test_a_table_that_was_not_written_to_is_given_back),
        TEST_OF_IMAGE(test_so_is_one_that_a_snapshot_has),
        TEST_OF_IMAGE(test_a_disk_gets_longer_or_stays),
        TEST_OF_IMAGE(test_a_disk_gets_shorter_or_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
