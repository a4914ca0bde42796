/* SPDX-License-Identifier: Apache-2.0 */
/* The operation map on raw files. What is expected is what qemu-img 7.2 map --output=json printed for such files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "native.h"

#define EXTENTS_MAX 4096u

static struct {
    instar_MapExtent extents[EXTENTS_MAX];
    uint32_t count;
    instar_CompleteMessage complete;
} seen;

static char path[] = "/tmp/test_image_map.XXXXXX";

static void on_message(const instar_GuestMessage *message, void *context)
{
    (void)context;
    if (message->which_kind == instar_GuestMessage_map_tag) {
        for (pb_size_t i = 0; i < message->kind.map.extents_count; i++) {
            assert_true(seen.count < EXTENTS_MAX);
            seen.extents[seen.count++] = message->kind.map.extents[i];
        }
    } else if (message->which_kind == instar_GuestMessage_complete_tag) {
        seen.complete = message->kind.complete;
    }
}

/* A file of `len` bytes with data of `data_len` at each of the offsets. */
static void make_file(uint64_t len, const uint64_t *offs, uint32_t off_count, size_t data_len)
{
    int fd = open(path, O_RDWR | O_TRUNC);
    char *data = malloc(data_len + 1);
    assert_true(fd >= 0);
    assert_non_null(data);
    memset(data, 'x', data_len);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    for (uint32_t i = 0; i < off_count; i++) {
        assert_int_equal(pwrite(fd, data, data_len, (off_t)offs[i]), (ssize_t)data_len);
    }
    free(data);
    close(fd);
}

static void map(uint64_t start, uint64_t length)
{
    instar_ImageJob job = {.sources_count = 1, .which_operation = instar_ImageJob_map_tag};
    job.operation.map.start = start;
    job.operation.map.length = length;
    const char *const paths[] = {path};
    struct error error = {0};
    memset(&seen, 0, sizeof(seen));
    native_start(&(struct native_setup){.on_message = on_message});
    assert_true(native_run_job(&job, paths, NULL, &error));
    native_stop();
    assert_true(seen.complete.success);
}

static void expect(uint32_t index, uint64_t start, uint64_t length, bool is_data)
{
    const instar_MapExtent *extent = &seen.extents[index];
    assert_true(index < seen.count);
    assert_int_equal(extent->start, start);
    assert_int_equal(extent->length, length);
    assert_int_equal(extent->depth, 0);
    assert_true(extent->present);
    assert_int_equal(extent->data, is_data);
    assert_int_equal(extent->zero, !is_data);
    assert_true(extent->has_offset);
    assert_int_equal(extent->offset, start);
}

static void holes_are_zeros_with_a_place(void **state)
{
    (void)state;
    const uint64_t offs[] = {65536};
    make_file(1 << 20, offs, 1, 65536);
    map(0, UINT64_MAX);
    assert_int_equal(seen.count, 3);
    expect(0, 0, 65536, false);
    expect(1, 65536, 65536, true);
    expect(2, 131072, 917504, false);
}

static void the_last_sector_is_whole(void **state)
{
    (void)state;
    const uint64_t offs[] = {0};
    make_file(1000, offs, 1, 1000);
    map(0, UINT64_MAX);
    assert_int_equal(seen.count, 2);
    expect(0, 0, 1000, true);
    expect(1, 1000, 24, false);

    /* A hole that reaches the end of the file goes on to the end of the sector. */
    make_file(10300, offs, 1, 4096);
    map(0, UINT64_MAX);
    assert_int_equal(seen.count, 2);
    expect(1, 4096, 6656, false);
}

static void a_range_begins_and_ends_anywhere(void **state)
{
    (void)state;
    const uint64_t offs[] = {65536};
    make_file(1 << 20, offs, 1, 65536);
    map(1000, 70000);
    assert_int_equal(seen.count, 2);
    expect(0, 1000, 64536, false);
    expect(1, 65536, 5464, true);
}

static void nothing_is_an_empty_run(void **state)
{
    (void)state;
    make_file(1 << 20, NULL, 0, 0);
    const uint64_t starts[] = {1 << 20, 1 << 21, UINT64_MAX, 65537};
    for (int i = 0; i < 4; i++) {
        map(starts[i], i == 3 ? 0 : UINT64_MAX);
        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.extents[0].start, starts[i]);
        assert_int_equal(seen.extents[0].length, 0);
        assert_false(seen.extents[0].present || seen.extents[0].data || seen.extents[0].zero);
    }
    make_file(0, NULL, 0, 0);
    map(0, UINT64_MAX);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.extents[0].length, 0);
}

/* More runs than a message holds. */
static void many_runs_arrive_in_order(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static uint64_t offs[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) {
        offs[i] = i * 131072;
    }
    make_file(COUNT * 131072ull, offs, COUNT, 65536);
    map(0, UINT64_MAX);
    assert_int_equal(seen.count, 2 * COUNT);
    for (uint32_t i = 0; i < 2 * COUNT; i++) {
        expect(i, i * 65536ull, 65536, i % 2 == 0);
    }
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0) {
        return 1;
    }
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holes_are_zeros_with_a_place),     cmocka_unit_test(the_last_sector_is_whole),
        cmocka_unit_test(a_range_begins_and_ends_anywhere), cmocka_unit_test(nothing_is_an_empty_run),
        cmocka_unit_test(many_runs_arrive_in_order),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failures;
}
