/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps that an image gets from another one, and the directory that the header leads to. */
#include "test_qcow2_modify_support.h"

#include "guest/image/io.h"

#define DISK_LEN (32 * KIB)

static const uint8_t data[2 * CLUSTER_LEN] = {1};

/* An image with a bitmap `name` that has bits for these bytes of the disk. */
static struct file *source_make(const char *name, uint64_t voff, uint64_t len)
{
    struct file *file = other_image_make(DISK_LEN);
    bitmap_add(file, name, true);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, voff, data, len));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    return file;
}

static bool copy(struct file *target, struct file *source)
{
    struct qcow2_modify *modify = modify_of(target);
    struct image *image = image_of(source, IMAGE_TO_READ);
    bool success = qcow2_modify_begin_bitmaps(&modify->target, image, &error) &&
                   qcow2_modify_add_bitmaps(&modify->target, image, &error) &&
                   qcow2_modify_finish(&modify->target, false, &error);
    if (!success) {
        qcow2_modify_abandon(&modify->target);
    }
    return success;
}

static void test_copies_follow_those_that_are_there(void **state)
{
    (void)state;
    struct file *file = image_make("16", DISK_LEN, ROOM_LEN);
    bitmap_add(file, "own", false);
    assert_true(copy(file, source_make("their", 5 * 512, 2 * 512)));
    uint64_t bits;
    struct image_bitmap bitmap = bitmap_at(file, 0, &bits);
    assert_memory_equal(bitmap.name, "own", 3);
    assert_int_equal(bits, 0);
    bitmap = bitmap_at(file, 1, &bits);
    assert_int_equal(bitmap.name_len, 5);
    assert_memory_equal(bitmap.name, "their", 5);
    assert_true(bitmap.is_enabled);
    assert_int_equal(bits, 3 << 5);
    expect_clean(file);
}

static void test_a_name_that_is_there_is_refused(void **state)
{
    (void)state;
    static uint8_t before[16 * CLUSTER_LEN];
    struct file *file = image_make("16", DISK_LEN, ROOM_LEN);
    bitmap_add(file, "same", true);
    uint64_t len = file->len;
    memcpy(before, image_bytes(), sizeof(before));
    assert_false(copy(file, source_make("same", 0, 512)));
    assert_non_null(strstr(error.detail, "Bitmap already exists: same"));
    error = (struct error){0};
    assert_memory_equal(image_bytes(), before, sizeof(before));
    assert_int_equal(file->len, len);
}

/* However little room a device has: nothing, or all of it. */
static void test_a_full_disk_leaves_nothing_of_them(void **state)
{
    (void)state;
    uint32_t failed_count = 0;
    bool is_whole = false;
    for (uint64_t more_len = 0; !is_whole && more_len < 64 * KIB; more_len += CLUSTER_LEN) {
        images_stop();
        images_start();
        struct file *file = image_make("16", DISK_LEN, ROOM_LEN);
        assert_true(native_file_set_len(file, file->len + more_len, &error));
        file->is_resizable = false;
        is_whole = copy(file, source_make("their", 0, 512));
        error = (struct error){0};
        expect_clean(file);
        bool has_any = qcow2_of(image_of(file, IMAGE_TO_READ))->extensions.bitmap_count > 0;
        assert_int_equal(has_any, is_whole);
        failed_count += !is_whole;
    }
    assert_true(is_whole);
    assert_true(failed_count > 0);
}

static void test_the_last_bitmap_takes_the_directory_away(void **state)
{
    (void)state;
    struct file *file = image_make("16", DISK_LEN, ROOM_LEN);
    bitmap_add(file, "one", true);
    struct qcow2_modify *modify = modify_of(file);
    uint64_t directory_off = modify->qcow2->extensions.bitmap_directory_off;
    assert_int_equal(references(modify, directory_off), 1);
    assert_true(qcow2_modify_set_directory(modify, 0, 0, 0, &error));
    assert_int_equal(references(modify, directory_off), 1); /* until the checkpoint */
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    assert_int_equal(references(modify, directory_off), 0);
    struct qcow2 *qcow2 = qcow2_of(image_of(file, IMAGE_TO_READ));
    assert_int_equal(qcow2->extensions.bitmap_count, 0);
    assert_int_equal(qcow2->header.autoclear_features & QCOW2_AUTOCLEAR_BITMAPS, 0);
}

static void test_a_full_header_has_no_directory(void **state)
{
    (void)state;
    struct file *file = image_make("16", DISK_LEN, ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(qcow2_modify_check_directory(modify, &error));
    /* An extension that nobody knows, up to where there is no room for one of bitmaps. */
    uint32_t header_len = modify->qcow2->header.header_len;
    struct {
        struct be32 type;
        struct be32 len;
    } head = {be32_make(0x12345678), be32_make(CLUSTER_LEN - header_len - 32)};
    memset(image_bytes() + header_len, 0, CLUSTER_LEN - header_len);
    memcpy(image_bytes() + header_len, &head, sizeof(head));
    images_stop();
    images_start();
    modify = modify_of(native_file_of_memory(image_bytes(), ROOM_LEN, 16 * CLUSTER_LEN));
    assert_false(qcow2_modify_check_directory(modify, &error));
    assert_non_null(strstr(error.detail, "No space left in the file header"));
    error = (struct error){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_copies_follow_those_that_are_there),
        TEST_OF_IMAGE(test_a_name_that_is_there_is_refused),
        TEST_OF_IMAGE(test_a_full_disk_leaves_nothing_of_them),
        TEST_OF_IMAGE(test_the_last_bitmap_takes_the_directory_away),
        TEST_OF_IMAGE(test_a_full_header_has_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
