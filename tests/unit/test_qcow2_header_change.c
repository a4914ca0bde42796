/* SPDX-License-Identifier: Apache-2.0 */
/* A header that is written anew, with its extensions and the backing file's name. */
#include "test_qcow2_modify_support.h"

#include "guest/formats/qcow2/modify/qcow2_header_change.h"

#define TYPE_UNKNOWN 0x12345678u
#define TYPE_OTHER 0x12345679u

static struct qcow2_header_change change;

/* The image as another job opens it, and what the header has of it then. */
static struct qcow2_modify *opened_again(struct file *file)
{
    struct qcow2_modify *modify = modify_of(file);
    assert_true(qcow2_header_change_begin(modify, &change, &error));
    return modify;
}

static struct file_name name_of(const char *text)
{
    struct file_name name;
    assert_true(target_name_set(&name, (const uint8_t *)text, strlen(text)));
    return name;
}

static void test_what_nobody_changes_stays(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    (void)opened_again(file);
    assert_true(qcow2_header_change_extension(&change, TYPE_UNKNOWN, "five!", 5, &error));
    assert_true(qcow2_header_change_write(&change, &error));
    (void)opened_again(file);
    change.backing_name = name_of("base");
    assert_true(qcow2_header_change_write(&change, &error));
    static uint8_t before[CLUSTER_LEN];
    memcpy(before, image_bytes(), sizeof(before));
    struct qcow2_modify *modify = opened_again(file);
    assert_int_equal(modify->qcow2->header.backing_name_len, 4);
    assert_memory_equal(before + modify->qcow2->header.backing_name_off, "base", 4);
    assert_non_null(memmem(before, sizeof(before),
                           "\x12\x34\x56\x78\0\0\0\x05"
                           "five!\0\0\0",
                           16));
    assert_true(qcow2_header_change_write(&change, &error));
    assert_memory_equal(image_bytes(), before, sizeof(before));
}

static void test_an_extension_is_there_once(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    (void)opened_again(file);
    assert_true(qcow2_header_change_extension(&change, QCOW2_EXTENSION_FEATURE_NAMES, NULL, 0, &error));
    uint32_t len = change.extensions_len;
    assert_true(qcow2_header_change_extension(&change, TYPE_UNKNOWN, "one", 3, &error));
    assert_true(qcow2_header_change_extension(&change, TYPE_OTHER, "others", 6, &error));
    assert_true(qcow2_header_change_extension(&change, TYPE_UNKNOWN, "second", 6, &error));
    assert_int_equal(change.extensions_len, len + 32);
    assert_true(qcow2_header_change_write(&change, &error));
    assert_null(memmem(image_bytes(), CLUSTER_LEN, "one", 3));
    assert_non_null(memmem(image_bytes(), CLUSTER_LEN, "others", 6));
    assert_non_null(memmem(image_bytes(), CLUSTER_LEN, "second", 6));
    (void)opened_again(file);
    assert_true(qcow2_header_change_extension(&change, TYPE_UNKNOWN, NULL, 0, &error));
    assert_true(qcow2_header_change_extension(&change, TYPE_OTHER, NULL, 0, &error));
    assert_int_equal(change.extensions_len, len);
    assert_true(qcow2_header_change_write(&change, &error));
    assert_null(memmem(image_bytes(), CLUSTER_LEN, "second", 6)); /* what was there is zeros */
    expect_clean(file);
}

/* Up to the last byte; beyond that nothing is written. The names of features give way before. */
static void test_a_header_ends_with_its_cluster(void **state)
{
    (void)state;
    static char text[CLUSTER_LEN];
    static uint8_t before[CLUSTER_LEN];
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    (void)opened_again(file);
    assert_true(qcow2_header_change_extension(&change, QCOW2_EXTENSION_FEATURE_NAMES, text, 48, &error));
    assert_true(qcow2_header_change_write(&change, &error));
    (void)opened_again(file);
    assert_true(change.extensions_len >= 56);
    uint32_t room = CLUSTER_LEN - change.header.header_len - 8; /* that ends them */
    memset(text, 'x', sizeof(text));
    memcpy(before, image_bytes(), sizeof(before));
    assert_false(qcow2_header_change_extension(&change, TYPE_UNKNOWN, text, CLUSTER_LEN, &error));
    assert_int_equal(error.kind, ERROR_NO_SPACE);
    error = (struct error){0};
    change.backing_name = name_of("x");
    change.backing_name.len = (uint16_t)(room + 1);
    assert_false(qcow2_header_change_check(&change, &error));
    error = (struct error){0};
    assert_false(qcow2_header_change_write(&change, &error));
    assert_int_equal(error.kind, ERROR_NO_SPACE);
    assert_int_equal(error.place[0], '\0');
    error = (struct error){0};
    assert_memory_equal(image_bytes(), before, sizeof(before));
    (void)opened_again(file);
    memcpy(change.backing_name.bytes, text, room);
    change.backing_name.len = (uint16_t)room;
    change.backing_name.is_set = true;
    assert_true(qcow2_header_change_check(&change, &error));
    assert_true(qcow2_header_change_write(&change, &error));
    assert_int_equal(image_bytes()[CLUSTER_LEN - 1], 'x');
    struct qcow2_modify *modify = opened_again(file);
    assert_int_equal(modify->qcow2->header.backing_name_len, room);
    assert_int_equal(change.extensions_len, 0);
}

/* What the header led to with loose clusters stays, whatever comes after. */
static void test_what_it_leads_to_is_tied(void **state)
{
    (void)state;
    struct qcow2_modify *modify = opened_again(image_make("16", 64 * KIB, ROOM_LEN));
    uint64_t off;
    assert_true(qcow2_modify_take_loose(modify, 1, &off, &error));
    assert_true(qcow2_header_change_write(&change, &error));
    qcow2_modify_abandon(&modify->target);
    assert_int_equal(references(modify, off), 1);
}

static void test_a_backing_file_has_a_format_or_none(void **state)
{
    (void)state;
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    struct file_name name = name_of("base");
    const struct file_name none = {0};
    assert_false(qcow2_change_backing(&modify->target, &name, "a format of 16 b", &error));
    error = (struct error){0};
    assert_true(qcow2_change_backing(&modify->target, &name, "raw", &error));
    struct image *image = image_of(file, IMAGE_TO_DESCRIBE);
    assert_true(image->backing_name.is_set);
    assert_string_equal(image->backing_format, "raw");
    assert_true(qcow2_change_backing(&modify->target, &name, "", &error));
    assert_string_equal(image_of(file, IMAGE_TO_DESCRIBE)->backing_format, "");
    assert_true(qcow2_change_backing(&modify->target, &none, "raw", &error));
    image = image_of(file, IMAGE_TO_DESCRIBE);
    assert_false(image->backing_name.is_set);
    assert_string_equal(image->backing_format, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_what_nobody_changes_stays),           TEST_OF_IMAGE(test_an_extension_is_there_once),
        TEST_OF_IMAGE(test_a_header_ends_with_its_cluster),      TEST_OF_IMAGE(test_what_it_leads_to_is_tied),
        TEST_OF_IMAGE(test_a_backing_file_has_a_format_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
