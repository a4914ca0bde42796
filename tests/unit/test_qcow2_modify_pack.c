/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed clusters that come to an image. */
#include "test_qcow2_modify_support.h"

static void stream_done(struct target_write *write, const struct error *failure)
{
    assert_null(failure);
    *(bool *)write->owner = true;
}

/* A stream of `len` bytes of the value; nobody expands it here. */
static void stream_write(struct qcow2_modify *modify, uint64_t voff, uint8_t value, uint32_t len)
{
    static uint8_t stream[CLUSTER_LEN];
    bool is_done = false;
    struct target_write write = {.done = stream_done, .owner = &is_done};
    memset(stream, value, sizeof(stream));
    assert_true(qcow2_modify_write_compressed(&modify->target, &write, voff, (struct span){stream, len}, &error));
    assert_true(is_done);
}

static struct qcow2_modify *packing_make(const char *refcount_bits)
{
    const struct target_compression compression = {.level = TARGET_LEVEL_DEFAULT};
    struct qcow2_modify *modify = modify_of(image_make(refcount_bits, 64 * KIB, ROOM_LEN));
    assert_true(qcow2_modify_begin_compression(&modify->target, &compression, &error));
    return modify;
}

/* Where the stream of the disk's cluster is, by its entry. */
static uint64_t stream_off(struct qcow2_modify *modify, uint64_t voff)
{
    struct qcow2_l2_entry slot;
    uint64_t off;
    uint64_t len;
    assert_true(qcow2_modify_get(modify, voff, &slot, &error));
    assert_true((slot.descriptor & QCOW2_COMPRESSED) != 0);
    qcow2_compressed_range(&modify->qcow2->header, slot.descriptor, &off, &len);
    return off;
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

static void test_streams_follow_each_other_over_borders(void **state)
{
    (void)state;
    struct qcow2_modify *modify = packing_make("16");
    for (uint64_t i = 0; i < 5; i++) {
        stream_write(modify, i * CLUSTER_LEN, (uint8_t)(i + 1), 300);
    }
    assert_true(qcow2_modify_checkpoint(modify, &error));
    uint64_t first_off = stream_off(modify, 0);
    for (uint64_t i = 0; i < 5; i++) {
        uint64_t off = stream_off(modify, i * CLUSTER_LEN);
        assert_int_equal(off, first_off + i * 300);
        assert_int_equal(image_bytes()[off], i + 1);
        assert_int_equal(image_bytes()[off + 299], i + 1);
    }
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

/* With counts of one bit, no cluster has two streams. */
static void test_streams_do_not_share_what_cannot_be_counted(void **state)
{
    (void)state;
    struct qcow2_modify *modify = packing_make("1");
    for (uint64_t i = 0; i < 5; i++) {
        stream_write(modify, i * CLUSTER_LEN, 1, 100);
        assert_int_equal(stream_off(modify, i * CLUSTER_LEN) % CLUSTER_LEN, 0);
    }
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

/* After that, nothing is written to a cluster that has streams, which may become somebody else's. */
static void test_after_a_close_streams_begin_elsewhere(void **state)
{
    (void)state;
    struct qcow2_modify *modify = packing_make("16");
    stream_write(modify, 0, 1, 100);
    assert_true(qcow2_modify_pack_close(modify, &error));
    stream_write(modify, CLUSTER_LEN, 2, 100);
    assert_int_not_equal(stream_off(modify, 0) >> CLUSTER_BITS, stream_off(modify, CLUSTER_LEN) >> CLUSTER_BITS);
    assert_true(qcow2_modify_finish(&modify->target, false, &error));
    expect_clean(modify->target.file);
}

static void test_streams_that_were_not_written_are_given_back(void **state)
{
    (void)state;
    struct qcow2_modify *modify = packing_make("16");
    uint64_t len = modify->target.file->len;
    stream_write(modify, 0, 1, 100);
    assert_true(qcow2_modify_checkpoint(modify, &error));
    uint64_t kept_off = stream_off(modify, 0);
    for (uint64_t i = 1; i < 8; i++) { /* the first ones are in the same cluster */
        stream_write(modify, i * CLUSTER_LEN, 2, 150);
    }
    qcow2_modify_abandon(&modify->target);
    assert_int_equal(references(modify, kept_off), 1);
    assert_int_equal(image_bytes()[kept_off], 1);
    assert_true(modify->target.file->len <= len + 3 * CLUSTER_LEN); /* a table, and the cluster that stays */
    expect_clean(modify->target.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_IMAGE(test_streams_share_a_cluster),
        TEST_OF_IMAGE(test_streams_follow_each_other_over_borders),
        TEST_OF_IMAGE(test_streams_do_not_share_what_cannot_be_counted),
        TEST_OF_IMAGE(test_after_a_close_streams_begin_elsewhere),
        TEST_OF_IMAGE(test_streams_that_were_not_written_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
