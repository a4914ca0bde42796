/* SPDX-License-Identifier: Apache-2.0 */
/* The disk of an image that changes: clusters get data, zeros, or nothing. */
#include "test_qcow2_modify_support.h"

#include "base/checked.h"
#include "guest/image/image_read.h"

#define DISK_LEN (64 * KIB)

static uint8_t expected[DISK_LEN];
static uint8_t found[DISK_LEN];

/* What another job reads is what was written. */
static void expect_disk(struct file *file)
{
    struct image_read_memory memory = {0};
    assert_true(image_read(image_of(file, IMAGE_TO_READ), 0, found, sizeof(found), &memory, &error));
    assert_memory_equal(found, expected, sizeof(found));
}

static void write_both(struct qcow2_modify *modify, uint64_t voff, uint8_t value, uint64_t len)
{
    memset(expected + voff, value, len);
    assert_true(disk_write(modify, voff, expected + voff, len));
}

static void zero_both(struct qcow2_modify *modify, uint64_t voff, uint64_t len)
{
    memset(expected + voff, 0, len);
    assert_true(qcow2_modify_disk_zero(&modify->target, voff, len, &error));
}

static struct qcow2_l2_entry slot_at(struct qcow2_modify *modify, uint64_t voff)
{
    struct qcow2_l2_entry slot;
    assert_true(qcow2_modify_get(modify, voff, &slot, &error));
    return slot;
}

static struct file *image_start(void)
{
    memset(expected, 0, sizeof(expected));
    return image_make("16", DISK_LEN, ROOM_LEN);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    struct file *file = image_start();
    struct qcow2_modify *modify = modify_of(file);
    write_both(modify, 0, 1, 512);
    write_both(modify, 5 * 512, 2, 100 * 512); /* over the border of L2 tables */
    write_both(modify, DISK_LEN - 512, 3, 512);
    write_both(modify, 20 * 512, 4, 3 * 512); /* where something is already */
    uint64_t off = slot_at(modify, 20 * 512).descriptor & QCOW2_L2_OFFSET_MASK;
    write_both(modify, 20 * 512, 5, 512);
    assert_int_equal(slot_at(modify, 20 * 512).descriptor & QCOW2_L2_OFFSET_MASK, off); /* in place */
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_disk(file);
    expect_clean(file);
}

/* A cluster that a snapshot has, too, gets another place; its old content stays where it is. */
static void test_a_snapshot_keeps_its_clusters(void **state)
{
    (void)state;
    struct file *file = image_start();
    struct qcow2_modify *modify = modify_of(file);
    write_both(modify, 0, 1, 2 * 512);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    snapshot_add(file);
    modify = modify_of(file);
    uint64_t off = stored_entry(modify) & QCOW2_L2_OFFSET_MASK;
    assert_int_equal(references(modify, off), 2);
    write_both(modify, 0, 2, 512);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    assert_int_equal(references(modify, off), 1);
    assert_int_equal(image_bytes()[off], 1);
    assert_int_equal(references(modify, off + CLUSTER_LEN), 2);
    expect_disk(file);
    expect_clean(file);
}

static void test_zeros_without_a_backing_file_take_nothing(void **state)
{
    (void)state;
    struct file *file = image_start();
    struct qcow2_modify *modify = modify_of(file);
    uint64_t len = file->len;
    zero_both(modify, 0, DISK_LEN);
    assert_int_equal(file->len, len);
    write_both(modify, 512, 1, 512);
    uint64_t off = slot_at(modify, 512).descriptor & QCOW2_L2_OFFSET_MASK;
    zero_both(modify, 0, DISK_LEN);
    assert_int_equal(slot_at(modify, 512).descriptor, QCOW2_L2_ZERO);
    assert_int_equal(references(modify, off), 1);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    assert_int_equal(references(modify, off), 0);
    expect_disk(file);
    expect_clean(file);
}

static void test_what_is_forgotten_is_nobodys(void **state)
{
    (void)state;
    struct file *file = image_start();
    struct qcow2_modify *modify = modify_of(file);
    write_both(modify, 0, 1, 2 * 512);
    uint64_t off = slot_at(modify, 0).descriptor & QCOW2_L2_OFFSET_MASK;
    memset(expected, 0, 512);
    assert_true(qcow2_modify_forget(modify, 0, &error));
    assert_true(qcow2_modify_forget(modify, 40 * KIB, &error)); /* nothing was there */
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    assert_int_equal(references(modify, off), 0);
    assert_int_equal(references(modify, off + CLUSTER_LEN), 1);
    expect_disk(file);
    expect_clean(file);
}

static void test_the_storage_of_an_entry(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(DISK_LEN);
    const struct {
        uint64_t descriptor;
        uint64_t off;
        uint64_t len; /* 0: none */
        bool has_storage;
    } cases[] = {
        {0, 0, 0, false},
        {QCOW2_L2_ZERO, 0, 0, false},
        {QCOW2_COPIED | 0x1200, 0x1200, CLUSTER_LEN, true},
        {QCOW2_L2_ZERO | 0x1200, 0x1200, CLUSTER_LEN, true},
        {qcow2_compressed_entry(CLUSTER_BITS, 0x1234, 100), 0x1234, 0x1400 - 0x1234, false},
        {qcow2_compressed_entry(CLUSTER_BITS, 0x1234, 500), 0x1234, 0x1600 - 0x1234, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct qcow2_l2_entry slot = {.descriptor = cases[i].descriptor};
        uint64_t off;
        uint64_t len;
        assert_true(qcow2_modify_storage_of(modify, slot, &off, &len, &error));
        assert_int_equal(len, cases[i].len);
        assert_true(len == 0 || off == cases[i].off);
        assert_int_equal(qcow2_modify_has_storage(modify, slot), cases[i].has_storage);
    }
}

/* An entry that cannot be right is neither read nor written by, nor is what it leads to released. */
static void test_odd_entries_are_refused(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(DISK_LEN);
    static const uint8_t data[CLUSTER_LEN] = {1};
    const struct {
        uint64_t descriptor;
        const char *text;
    } cases[] = {
        {QCOW2_COPIED | modify->qcow2->header.l1_off, "overlaps with active L1 table"},
        {QCOW2_COPIED | 1ull << 40, "is not one"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(qcow2_modify_prepare(modify, 0, &error));
        qcow2_modify_set(modify, 0, (struct qcow2_l2_entry){.descriptor = cases[i].descriptor});
        assert_false(disk_write(modify, 0, data, sizeof(data)));
        assert_non_null(strstr(error.detail, cases[i].text));
        error = (struct error){0};
    }
    qcow2_modify_set(modify, 0, (struct qcow2_l2_entry){.descriptor = modify->qcow2->header.l1_off});
    assert_false(qcow2_modify_forget(modify, 0, &error));
    error = (struct error){0};
    assert_int_equal(references(modify, modify->qcow2->header.l1_off), 1);
}

/* However far it gets: each cluster has what it had or what it was to get, and nothing is lost. */
static void test_a_failure_in_the_middle(void **state)
{
    (void)state;
    bool success = false;
    for (uint64_t room_len = 0; !success; room_len += 3 * CLUSTER_LEN) {
        images_stop();
        images_start();
        struct file *file = image_start();
        struct qcow2_modify *modify = modify_of(file);
        write_both(modify, 0, 1, 16 * KIB);
        assert_true(qcow2_modify_finish(&modify->target, false, &error));
        snapshot_add(file);
        uint64_t len = file->len;
        modify = modify_of(file);
        native_file_fill(file, len + room_len);
        memset(found, 2, sizeof(found));
        success = disk_write(modify, 0, found, DISK_LEN) && qcow2_modify_finish(&modify->target, false, &error);
        error = (struct error){0};
        qcow2_modify_abandon(&modify->target);
        expect_clean(file);
        uint64_t used_off;
        assert_true(qcow2_modify_used_end(modify, &used_off, &error));
        assert_true(file->len <= max_u64(len, used_off));
        struct image_read_memory memory = {0};
        assert_true(image_read(image_of(file, IMAGE_TO_READ), 0, found, sizeof(found), &memory, &error));
        for (uint64_t at = 0; at < DISK_LEN; at++) {
            assert_true(found[at] == expected[at] || found[at] == 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_what_is_written_is_read),
        TEST_OF_IMAGE(test_a_snapshot_keeps_its_clusters),
        TEST_OF_IMAGE(test_zeros_without_a_backing_file_take_nothing),
        TEST_OF_IMAGE(test_what_is_forgotten_is_nobodys),
        TEST_OF_IMAGE(test_the_storage_of_an_entry),
        TEST_OF_IMAGE(test_odd_entries_are_refused),
        TEST_OF_IMAGE(test_a_failure_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
