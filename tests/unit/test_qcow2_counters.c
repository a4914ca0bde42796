/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/formats/qcow2/layout/qcow2_counters.h"
#include "guest/formats/qcow2/new/qcow2_allocator.h"

#define MEMORY_LEN 64u

/* In memory of exactly its length, so that a sanitizer sees what goes past it. */
static int setup(void **state)
{
    *state = malloc(MEMORY_LEN);
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static struct qcow2_counters make(void **state, uint32_t order, uint64_t first, uint64_t count)
{
    struct qcow2_counters counters;
    qcow2_counters_init(&counters, *state, MEMORY_LEN, order);
    qcow2_counters_begin(&counters, first, count);
    return counters;
}

static void add_times(struct qcow2_counters *counters, uint64_t cluster, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        assert_true(qcow2_counters_add(counters, cluster));
    }
}

static void what_is_outside_is_ignored(void **state)
{
    struct qcow2_counters counters = make(state, 4, 100, 10);
    static const uint64_t outside[] = {0, 99, 110, UINT64_MAX};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_false(qcow2_counters_has(&counters, outside[i]));
        add_times(&counters, outside[i], 1000);
        qcow2_counters_subtract(&counters, outside[i]);
    }
    add_times(&counters, 100, 1);
    add_times(&counters, 109, 2);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(qcow2_counters_get(&counters, i), i == 0 ? 1 : i == 9 ? 2 : 0);
    }
}

static void a_window_is_no_longer_than_its_memory(void **state)
{
    struct qcow2_counters counters = make(state, 4, 0, 1000);
    assert_int_equal(counters.count, MEMORY_LEN);
    add_times(&counters, MEMORY_LEN - 1, 3);
    add_times(&counters, MEMORY_LEN, 3);
    assert_int_equal(qcow2_counters_get(&counters, MEMORY_LEN - 1), 3);
}

static void counters_widen_and_keep_their_numbers(void **state)
{
    struct qcow2_counters counters = make(state, 5, 0, 16);
    for (uint64_t i = 0; i < 16; i++) {
        add_times(&counters, i, i * 17);
    }
    assert_int_equal(counters.width, 1);
    add_times(&counters, 7, 300);
    assert_int_equal(counters.width, 2);
    add_times(&counters, 3, 70000);
    assert_int_equal(counters.width, 4);
    assert_int_equal(counters.count, 16);
    for (uint64_t i = 0; i < 16; i++) {
        assert_int_equal(qcow2_counters_get(&counters, i), i * 17 + (i == 7 ? 300 : 0) + (i == 3 ? 70000 : 0));
    }
    qcow2_counters_subtract(&counters, 3);
    assert_int_equal(qcow2_counters_get(&counters, 3), 70000 + 51 - 1);
    assert_true(qcow2_counters_are_final(&counters));
}

static void wider_counters_shorten_the_window(void **state)
{
    struct qcow2_counters counters = make(state, 6, 1000, MEMORY_LEN);
    add_times(&counters, 1000 + 31, 9);
    add_times(&counters, 1000 + 2, 256);
    assert_int_equal(counters.count, MEMORY_LEN / 2);
    assert_int_equal(qcow2_counters_get(&counters, 31), 9);
    assert_int_equal(qcow2_counters_get(&counters, 2), 256);
    assert_false(qcow2_counters_has(&counters, 1000 + 32));
    /* One that falls out of the window by its own widening. */
    add_times(&counters, 1000 + 31, 65536);
    assert_int_equal(counters.count, MEMORY_LEN / 4);
    assert_int_equal(qcow2_counters_get(&counters, 2), 256);
    /* The next window begins anew. */
    qcow2_counters_begin(&counters, 1016, MEMORY_LEN);
    assert_int_equal(counters.width, 1);
    assert_int_equal(counters.count, MEMORY_LEN);
    assert_int_equal(qcow2_counters_get(&counters, 2), 0);
}

static void counters_end_where_refcounts_do(void **state)
{
    static const uint64_t max[] = {1, 3, 15, 255, 65535};
    for (uint32_t order = 0; order < 5; order++) {
        struct qcow2_counters counters = make(state, order, 0, 4);
        add_times(&counters, 1, max[order]);
        assert_true(qcow2_counters_are_final(&counters));
        assert_false(qcow2_counters_add(&counters, 1));
        assert_false(qcow2_counters_add(&counters, 1));
        assert_int_equal(qcow2_counters_get(&counters, 1), max[order]);
        assert_true(qcow2_counters_add(&counters, 2));
    }
}

/* An image of 512-byte clusters with 64-bit counts: a block counts 64 of them. */
#define BLOCK_ENTRIES 64u
#define IMAGE_CLUSTERS 4096u
#define ARENA_LEN (1u << 20)

struct image {
    struct qcow2_allocator allocator;
    uint8_t *arena;
    uint64_t blocks[IMAGE_CLUSTERS][BLOCK_ENTRIES]; /* content of those clusters that are blocks */
    uint8_t uses[IMAGE_CLUSTERS];                   /* by us and as blocks */
};

static void block_keep(struct image *image, uint64_t cluster)
{
    assert_true(cluster < IMAGE_CLUSTERS);
    for (uint32_t i = 0; i < BLOCK_ENTRIES; i++) {
        image->blocks[cluster][i] = image->allocator.block[i * 8 + 7];
    }
    image->uses[cluster]++;
}

static void turn(struct image *image)
{
    uint64_t off;
    if (qcow2_allocator_is_full(&image->allocator)) {
        assert_true(qcow2_allocator_turn(&image->allocator, &off));
        block_keep(image, off / 512);
        qcow2_allocator_turned(&image->allocator);
    }
}

static void take(struct image *image, uint64_t count)
{
    while (count > 0) {
        uint64_t cluster;
        turn(image);
        uint64_t taken = qcow2_allocator_take(&image->allocator, count, &cluster);
        for (uint64_t i = 0; i < taken; i++) {
            image->uses[cluster + i]++;
        }
        count -= taken;
    }
}

static void take_region(struct image *image, uint64_t count)
{
    struct qcow2_allocator_region region;
    turn(image);
    assert_true(qcow2_allocator_region(&image->allocator, count, &region));
    for (uint64_t i = 0; i < region.block_count; i++) {
        qcow2_allocator_region_block(&image->allocator, &region, i);
        block_keep(image, region.first_block + i);
    }
    qcow2_allocator_region_end(&image->allocator);
    for (uint64_t i = 0; i < count; i++) {
        image->uses[region.cluster + i]++;
    }
}

static void end(struct image *image)
{
    struct qcow2_allocator_end last;
    assert_true(qcow2_allocator_finish(&image->allocator, 3, &last));
    for (uint64_t i = 0; i < last.block_count; i++) {
        qcow2_allocator_last_block(&image->allocator, &last, i);
        block_keep(image, last.first_block + i);
    }
    for (uint64_t i = last.table_cluster; i < last.cluster_count; i++) {
        image->uses[i]++;
    }
}

/* Whatever is taken before and afterwards, each cluster is somebody's or nobody's, and its count says so. */
static void regions_are_counted_as_they_are_used(void **state)
{
    (void)state;
    static struct image image;                                     /* large */
    for (uint64_t before = 1; before <= BLOCK_ENTRIES; before++) { /* the first cluster is the header's */
        for (uint64_t count = 1; count <= 200; count += 7) {
            struct arena arena;
            image = (struct image){.arena = calloc(1, ARENA_LEN)};
            assert_non_null(image.arena);
            arena_init(&arena, (uint64_t)(uintptr_t)image.arena, ARENA_LEN);
            assert_true(qcow2_allocator_init(&image.allocator, 9, 6, 10, &arena));
            assert_true(qcow2_allocator_expect(&image.allocator, 1000, &arena));
            take(&image, before);
            take_region(&image, count);
            take(&image, count % 3 * 40);
            take_region(&image, 70);
            end(&image);
            for (uint64_t i = 0; i < IMAGE_CLUSTERS; i++) {
                uint64_t block = i / BLOCK_ENTRIES;
                uint64_t off = block < image.allocator.block_index ? image.allocator.table[block] : 0;
                uint64_t counted = off != 0 ? image.blocks[off / 512][i % BLOCK_ENTRIES] : 0;
                assert_int_equal(counted, image.uses[i]);
                assert_true(image.uses[i] <= 1);
            }
            free(image.arena);
        }
    }
}

static void there_are_no_regions_behind_the_table(void **state)
{
    (void)state;
    static uint8_t memory[ARENA_LEN];
    struct qcow2_allocator allocator;
    struct qcow2_allocator_region region;
    struct arena arena;
    arena_init(&arena, (uint64_t)(uintptr_t)memory, ARENA_LEN);
    assert_true(qcow2_allocator_init(&allocator, 9, 6, 10, &arena));
    assert_false(qcow2_allocator_region(&allocator, 1000, &region));
    assert_true(qcow2_allocator_expect(&allocator, 1000, &arena));
    assert_true(qcow2_allocator_region(&allocator, 1000, &region));
    assert_false(qcow2_allocator_expect(&allocator, UINT64_MAX, &arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_outside_is_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_window_is_no_longer_than_its_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(counters_widen_and_keep_their_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(wider_counters_shorten_the_window, setup, teardown),
        cmocka_unit_test_setup_teardown(counters_end_where_refcounts_do, setup, teardown),
        cmocka_unit_test(regions_are_counted_as_they_are_used),
        cmocka_unit_test(there_are_no_regions_behind_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
