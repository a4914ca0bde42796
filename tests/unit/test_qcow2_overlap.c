/* SPDX-License-Identifier: Apache-2.0 */
/* Which clusters have metadata, and whose. */
#include "test_qcow2_modify_support.h"

/* An image with metadata of all kinds. */
static struct qcow2_modify *full_make(void)
{
    static const uint8_t data[CLUSTER_LEN] = {7};
    struct file *file = image_make("16", 64 * KIB, ROOM_LEN);
    struct qcow2_modify *modify = modify_of(file);
    assert_true(disk_write(modify, 0, data, sizeof(data)));
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    bitmap_add(file, "tracks", true);
    snapshot_add(file);
    modify = modify_of(file);
    assert_true(disk_write(modify, 0, data, sizeof(data))); /* its L2 table is its own then */
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    return modify_of(file);
}

static uint32_t area_at(struct qcow2_modify *modify, uint64_t off, uint64_t len, uint32_t own)
{
    uint32_t area;
    assert_true(qcow2_overlap_find(&modify->overlap, off, len, own, &area, &error));
    return area;
}

static void test_every_kind_is_found(void **state)
{
    (void)state;
    struct qcow2_modify *modify = full_make();
    const struct qcow2_header *header = &modify->qcow2->header;
    uint64_t block_off;
    struct be64 snapshot_l1_off;
    uint64_t bits;
    assert_true(cache_read_be64(modify->image->environment->cache, modify->target.file, header->refcount_table_off,
                                &block_off, &error));
    memcpy(&snapshot_l1_off, image_bytes() + header->snapshots_off, sizeof(snapshot_l1_off));
    const struct {
        uint64_t off;
        uint32_t area;
    } cases[] = {
        {0, QCOW2_AREA_HEADER},
        {header->l1_off, QCOW2_AREA_L1},
        {header->refcount_table_off, QCOW2_AREA_REFCOUNT_TABLE},
        {header->snapshots_off, QCOW2_AREA_SNAPSHOT_TABLE},
        {modify->qcow2->extensions.bitmap_directory_off, QCOW2_AREA_BITMAP_DIRECTORY},
        {stored_table(modify) & QCOW2_L1_OFFSET_MASK, QCOW2_AREA_L2},
        {block_off, QCOW2_AREA_REFCOUNT_BLOCK},
        {be64_get(snapshot_l1_off), QCOW2_AREA_SNAPSHOT},
        {bitmap_at(modify->target.file, 0, &bits).table_off, QCOW2_AREA_BITMAP_TABLE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Of a byte, also of the last one of the cluster; and no longer where that is what is meant. */
        assert_int_equal(area_at(modify, cases[i].off, 1, 0), cases[i].area);
        assert_int_equal(area_at(modify, cases[i].off + CLUSTER_LEN - 1, 1, 0), cases[i].area);
        assert_int_equal(area_at(modify, cases[i].off, CLUSTER_LEN, cases[i].area), 0);
        assert_false(qcow2_overlap_check(&modify->overlap, cases[i].off, 1, ~cases[i].area, &error));
        assert_int_equal(error.kind, ERROR_MALFORMED);
        error = (struct error){0};
    }
    uint64_t data_off = stored_entry(modify) & QCOW2_L2_OFFSET_MASK;
    assert_int_equal(area_at(modify, data_off, CLUSTER_LEN, 0), 0);
    assert_true(qcow2_overlap_check(&modify->overlap, data_off, CLUSTER_LEN, 0, &error));
    assert_int_not_equal(area_at(modify, 0, modify->target.file->len, 0), 0); /* wherever it lies in a stretch */
}

static void test_a_table_of_a_snapshot_is_one_of_its_l1_table_too(void **state)
{
    (void)state;
    struct qcow2_modify *modify = full_make();
    struct be64 word;
    memcpy(&word, image_bytes() + modify->qcow2->header.snapshots_off, sizeof(word));
    memcpy(&word, image_bytes() + be64_get(word), sizeof(word));
    uint64_t l2_off = be64_get(word) & QCOW2_L1_OFFSET_MASK;
    assert_int_not_equal(l2_off, stored_table(modify) & QCOW2_L1_OFFSET_MASK);
    assert_int_equal(area_at(modify, l2_off, CLUSTER_LEN, 0), QCOW2_AREA_SNAPSHOT);
}

/* What is told of a new table counts from the moment that the L1 table leads there. */
static void test_the_tables_decide(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t off = modify->target.file->len;
    uint64_t l1_off = modify->qcow2->header.l1_off;
    assert_int_equal(area_at(modify, off, CLUSTER_LEN, 0), 0);
    qcow2_overlap_add(&modify->overlap, QCOW2_AREA_L2, off, CLUSTER_LEN);
    assert_int_equal(area_at(modify, off, CLUSTER_LEN, 0), 0);
    assert_true(qcow2_modify_store_be64(modify, l1_off + 8, off, QCOW2_AREA_L1, &error));
    assert_int_equal(area_at(modify, off, CLUSTER_LEN, 0), QCOW2_AREA_L2);
    assert_true(qcow2_modify_store_be64(modify, l1_off + 8, 0, QCOW2_AREA_L1, &error));
    assert_int_equal(area_at(modify, off, CLUSTER_LEN, 0), 0);
}

static void test_the_end_is_behind_all_metadata(void **state)
{
    (void)state;
    struct qcow2_modify *modify = modify_make(64 * KIB);
    uint64_t end_off;
    uint64_t off;
    assert_true(qcow2_overlap_end(&modify->overlap, &end_off, &error));
    assert_true(end_off <= modify->target.file->len);
    assert_true(qcow2_modify_append(modify, 20, &off, &error)); /* data: not counted */
    uint64_t same_off;
    assert_true(qcow2_overlap_end(&modify->overlap, &same_off, &error));
    assert_int_equal(same_off, end_off);
    assert_true(
        qcow2_modify_store_be64(modify, modify->qcow2->header.l1_off, off + 4 * CLUSTER_LEN, QCOW2_AREA_L1, &error));
    assert_true(qcow2_overlap_end(&modify->overlap, &end_off, &error));
    assert_int_equal(end_off, off + 5 * CLUSTER_LEN);
    /* What is not within the file is not there. */
    assert_true(qcow2_modify_store_be64(modify, modify->qcow2->header.l1_off, 1ull << 50, QCOW2_AREA_L1, &error));
    assert_true(qcow2_overlap_end(&modify->overlap, &end_off, &error));
    assert_int_equal(end_off, same_off);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_every_kind_is_found),
        TEST_OF_IMAGE(test_a_table_of_a_snapshot_is_one_of_its_l1_table_too),
        TEST_OF_IMAGE(test_the_tables_decide),
        TEST_OF_IMAGE(test_the_end_is_behind_all_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
