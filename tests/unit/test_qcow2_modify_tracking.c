/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps that track changes of the disk. */
#include "test_qcow2_modify_support.h"

#include "guest/image/io.h"
#include "guest/runtime/messages.h"

#define DISK_LEN (32 * KIB) /* 64 bits */

static const uint8_t data[8 * CLUSTER_LEN] = {1};

/* An image with a bitmap that tracks changes, and one that does not. */
static struct file *tracked_make(uint64_t room_len)
{
    struct file *file = image_make("16", DISK_LEN, room_len);
    bitmap_add(file, "tracks", true);
    bitmap_add(file, "rests", false);
    return file;
}

static void expect_bits(struct file *file, uint64_t expected)
{
    uint64_t bits;
    assert_false(bitmap_at(file, 0, &bits).is_inconsistent);
    assert_int_equal(bits, expected);
    assert_false(bitmap_at(file, 1, &bits).is_inconsistent);
    assert_int_equal(bits, 0);
}

static void test_bits_are_set_for_what_is_written(void **state)
{
    (void)state;
    struct file *file = tracked_make(ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, 4 * 512, data, 512));
    assert_true(disk_write(modify, 6 * 512, data, 2 * 512));
    assert_true(qcow2_modify_disk_zero(&modify->target, 63 * 512, 512, &error));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_bits(file, 0xd0 | 1ull << 63);
    /* And another job's beside them. */
    modify = modify_of(file);
    assert_true(disk_write(modify, 0, data, 512));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_bits(file, 0xd1 | 1ull << 63);
    expect_clean(file);
}

static void test_in_between_they_are_in_use(void **state)
{
    (void)state;
    uint64_t bits;
    struct file *file = tracked_make(ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, 0, data, 512));
    assert_true(bitmap_at(file, 0, &bits).is_inconsistent);
    assert_false(bitmap_at(file, 1, &bits).is_inconsistent);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_bits(file, 1);
}

static void test_who_changes_nothing_leaves_them(void **state)
{
    (void)state;
    struct file *file = tracked_make(ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_bits(file, 0);
}

static void test_what_keeps_bitmaps_is_not_noted(void **state)
{
    (void)state;
    struct file *file = tracked_make(ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    modify->keeps_bitmaps = true;
    assert_true(disk_write(modify, 0, data, 512));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_bits(file, 0);
}

/* A change that fails has changed some of the disk: bits tell of it. */
static void test_a_failure_leaves_bits(void **state)
{
    (void)state;
    struct file *file = tracked_make(ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, 3 * 512, data, 512));
    assert_true(qcow2_modify_checkpoint(modify, &error));
    assert_true(disk_write(modify, 9 * 512, data, 512)); /* which is not in the file's tables yet */
    qcow2_modify_abandon(&modify->target);
    uint64_t bits;
    assert_false(bitmap_at(file, 0, &bits).is_inconsistent);
    assert_int_equal(bits & 1 << 3, 1 << 3);
    expect_clean(file);
}

/* What the disk has is in the bitmap, wherever a device is full. */
static void expect_bits_of_disk(struct file *file)
{
    uint64_t bits;
    struct image_bitmap bitmap = bitmap_at(file, 0, &bits);
    struct image *image = image_of(file, IMAGE_TO_READ);
    for (uint64_t i = 0; i < 64 && !bitmap.is_inconsistent; i++) {
        struct extent extent;
        assert_true(image->format->map(image, i * 512, 512, &extent, &error));
        assert_true(extent.kind != EXTENT_DATA || (bits >> i & 1) != 0);
    }
}

static void test_so_does_a_full_disk(void **state)
{
    (void)state;
    uint32_t failed_count = 0;
    bool success = false;
    for (uint64_t more_len = 0; !success && more_len < 64 * KIB; more_len += CLUSTER_LEN) {
        images_stop();
        images_start();
        struct file *file = tracked_make(ROOM_LEN);
        assert_true(native_file_set_len(file, file->len + more_len, &error));
        file->is_resizable = false;
        struct qcow2_modify *modify = modify_of(file);
        success = true;
        for (uint64_t voff = 0; voff < DISK_LEN && success; voff += sizeof(data)) {
            success = disk_write(modify, voff, data, sizeof(data));
        }
        success = success && qcow2_modify_finish(&modify->target, false, &error);
        if (!success) {
            qcow2_modify_abandon(&modify->target);
        }
        error = (struct error){0};
        failed_count += !success;
        expect_clean(file);
        expect_bits_of_disk(file);
    }
    assert_true(success);
    assert_true(failed_count > 0);
}

/* Its bits are the directory's. */
static void test_what_is_somebody_elses_is_not_written_to(void **state)
{
    (void)state;
    struct file *file = tracked_make(ROOM_LEN);
    uint64_t bits;
    uint64_t len = file->len;
    struct be64 entry = be64_make(qcow2_of(image_of(file, IMAGE_TO_READ))->extensions.bitmap_directory_off);
    memcpy(image_bytes() + bitmap_at(file, 0, &bits).table_off, &entry, sizeof(entry));
    images_stop(); /* what was read so far is forgotten */
    images_start();
    file = native_file_of_memory(image_bytes(), ROOM_LEN, len);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, 0, data, 512));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    messages_flush();
    assert_string_equal(warning, "bitmap 'tracks' cannot be kept up to date: it is inconsistent now");
    assert_true(bitmap_at(file, 0, &bits).is_inconsistent);
    assert_false(bitmap_at(file, 1, &bits).is_inconsistent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_bits_are_set_for_what_is_written),
        TEST_OF_IMAGE(test_in_between_they_are_in_use),
        TEST_OF_IMAGE(test_who_changes_nothing_leaves_them),
        TEST_OF_IMAGE(test_what_keeps_bitmaps_is_not_noted),
        TEST_OF_IMAGE(test_a_failure_leaves_bits),
        TEST_OF_IMAGE(test_so_does_a_full_disk),
        TEST_OF_IMAGE(test_what_is_somebody_elses_is_not_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
