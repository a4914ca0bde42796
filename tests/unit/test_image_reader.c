/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading disks ahead, on images made up at random: extents of all kinds and lengths, of two images, compressed
 * clusters that show through in pieces. What the disk must read as is worked out byte by byte, without a reader.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "guest/formats/raw/raw.h"
#include "guest/operations/convert/convert_target.h"
#include "guest/operations/reader/disk_walk.h"
#include "guest/operations/reader/reader.h"
#include "made_images.h"
#include "native.h"

static uint8_t result[DISK_LEN_MAX + 512];
static uint32_t warning_count;
static uint32_t zero_unit_bits;      /* what readers are told to look for; 0: nothing */
static uint64_t plain_len, zero_len; /* of such parts */

static void on_message(const instar_GuestMessage *message, void *context)
{
    (void)context;
    assert_int_equal(message->which_kind, instar_GuestMessage_warning_tag);
    warning_count++;
}

static void start(void)
{
    warning_count = 0;
    native_start(&(struct native_setup){.on_message = on_message});
}

static struct reader *make_reader(const struct reader_setup *choices)
{
    struct image *const all[] = {&images[0]};
    struct reader_setup setup = *choices;
    setup.images = all;
    setup.image_count = 1;
    setup.io = setup.io != NULL ? setup.io : io_make(native_arena(), NATIVE_IO_REQUESTS);
    setup.arena = native_arena();
    setup.vcpu_count = 1;
    setup.memory_len = setup.memory_len != 0 ? setup.memory_len : 32u << 20;
    struct reader *reader;
    struct error error = {0};
    assert_true(reader_make(&setup, &reader, &error));
    return reader;
}

/* Puts a part to its place of the result, and checks its shape. */
static void put(const struct reader_part *part, const struct reader_setup *setup)
{
    uint8_t *target = result + part->voff;
    uint64_t end = part->voff + part->len;
    assert_true(end <= images[0].virtual_len);
    if (!setup->splits_sectors) {
        assert_int_equal(part->voff % 512, 0);
        assert_true(end % 512 == 0 || end == images[0].virtual_len);
    }
    switch (part->kind) {
    case READER_ZERO:
        zero_len += part->len;
        memset(target, 0, part->len);
        break;
    case READER_BYTES:
        memcpy(target, part->data, part->len);
        if (end == images[0].virtual_len) {
            for (uint64_t i = part->len; (part->voff + i) % 512 != 0; i++) {
                assert_int_equal(part->data[i], 0);
            }
        }
        break;
    case READER_PLAIN:
        plain_len += part->len;
        assert_true(zero_unit_bits == 0 || (part->voff | part->len) % (1ull << zero_unit_bits) == 0);
        assert_true(part->len >= setup->plain_len_min || !setup->splits_sectors);
        memset(target, 0, part->len);
        if (part->file_off < FILE_LEN) {
            memcpy(target, file_bytes + part->file_off, min_u64(part->len, FILE_LEN - part->file_off));
        }
        break;
    case READER_OTHERS:
        fail();
        break;
    }
}

/* Reads the disk to `result`. Returns how far it came, with *error where it did not come to the end. */
static uint64_t read_all(struct reader *reader, const struct reader_setup *setup, struct error *error)
{
    static const uint32_t none = 0;
    uint64_t voff = 0;
    memset(result, 0xcc, min_u64(sizeof(result), images[0].virtual_len + 512));
    reader_start(reader, &images[0]);
    reader_find_zeros(reader, zero_unit_bits);
    while (!reader_is_finished(reader)) {
        bool is_taken = true;
        reader_advance(reader);
        while (is_taken) {
            struct reader_part part;
            if (!reader_take(reader, &part, &is_taken, error)) {
                return voff;
            }
            if (is_taken) {
                assert_int_equal(part.voff, voff);
                put(&part, setup);
                voff += part.len;
                reader_release(reader, &part);
            }
        }
        assert_true(reader_wait(reader, &none, error));
    }
    return voff;
}

static const struct shape shapes[] = {
    {.len = {5u << 20}},
    {.len = {DISK_LEN_MAX}, .cluster_len = {65536}, .compressed_share = 100},
    {.len = {(4u << 20) + 512}, .cluster_len = {65536}, .compressed_share = 60},
    {.len = {700 << 10}, .cluster_len = {512}, .compressed_share = 70},
    {.len = {5u << 20}, .cluster_len = {2u << 20}, .compressed_share = 50},
    {.len = {3u << 20, 2u << 20}, .cluster_len = {4096, 65536}, .compressed_share = 50},
    {.len = {3u << 20, (2u << 20) + 1000}, .cluster_len = {4096, 0}, .compressed_share = 30, .is_odd = true},
    {.len = {2000001, 1999999}, .cluster_len = {0, 0}, .is_odd = true},
    {.len = {3000001, 2000003}, .cluster_len = {65536, 4096}, .compressed_share = 40, .is_odd = true},
    {.len = {DISK_LEN_MAX}, .cluster_len = {(2u << 20) + 512}, .compressed_share = 100},
    {.len = {DISK_LEN_MAX, DISK_LEN_MAX}, .cluster_len = {65536, 3u << 20}, .compressed_share = 60},
    {.len = {5000001, 6000000}, .cluster_len = {0, 3u << 20}, .compressed_share = 90, .is_odd = true},
    {.len = {1}},
    {.len = {0}},
};

static void check_shape(const struct shape *shape, uint64_t seed, const struct reader_setup *setup)
{
    start();
    make_images(shape, seed);
    images[0].virtual_len = shape->len[0];
    struct error error = {0};
    assert_int_equal(read_all(make_reader(setup), setup, &error), shape->len[0]);
    if (memcmp(result, layouts[0].disk, shape->len[0]) != 0) {
        uint64_t voff = 0;
        while (result[voff] == layouts[0].disk[voff]) {
            voff++;
        }
        fail_msg("seed %llu, disk of %llu: it is not what it should be at 0x%llx", (unsigned long long)seed,
                 (unsigned long long)shape->len[0], (unsigned long long)voff);
    }
    native_stop();
}

/* The seed decides what is where. */
static void check_all(const struct reader_setup *setup, uint64_t seed)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        check_shape(&shapes[i], seed * 1000 + i, setup);
    }
}

static void a_disk_is_read_whole(void **state)
{
    (void)state;
    check_all(&(struct reader_setup){.plain_len_min = UINT64_MAX}, 0);
    check_all(&(struct reader_setup){.plain_len_min = UINT64_MAX}, 1);
}

static void plain_data_is_not_read_where_the_caller_wants_it_so(void **state)
{
    (void)state;
    check_all(&(struct reader_setup){.plain_len_min = 65536}, 2);
    check_all(&(struct reader_setup){.plain_len_min = 1}, 3);
}

/* Of plain data, what is not zeros is told, in whole units, and nothing of it is read. */
static void zeros_are_found_in_what_is_not_read(void **state)
{
    (void)state;
    const struct reader_setup setup = {.plain_len_min = UINT64_MAX};
    for (zero_unit_bits = 12; zero_unit_bits <= 18; zero_unit_bits += 2) {
        plain_len = 0;
        check_all(&setup, zero_unit_bits);
        assert_true(plain_len > 0);
    }
    start();
    make_images(&shapes[0], 1);
    layouts[0].count = 1;
    layouts[0].extents[0] = (struct extent){.kind = EXTENT_DATA, .len = shapes[0].len[0], .file = images[0].file};
    memset(layouts[0].disk, 0, shapes[0].len[0]);
    memcpy(layouts[0].disk, file_bytes, FILE_LEN);
    struct reader *reader = make_reader(&setup);
    zero_unit_bits = 16;
    plain_len = 0;
    zero_len = 0;
    struct error error = {0};
    assert_int_equal(read_all(reader, &setup, &error), shapes[0].len[0]);
    assert_memory_equal(result, layouts[0].disk, shapes[0].len[0]);
    /* 200 KiB from the middle on. What is behind the file's end goes the usual way. */
    assert_int_equal(zero_len, 3 * 65536);
    assert_int_equal(plain_len, FILE_LEN - 3 * 65536);
    assert_int_equal(reader_bytes_read(reader), shapes[0].len[0] - FILE_LEN);
    zero_unit_bits = 0;
    native_stop();
}

static void parts_end_within_sectors_where_extents_do(void **state)
{
    (void)state;
    check_all(&(struct reader_setup){.plain_len_min = UINT64_MAX, .splits_sectors = true}, 4);
}

static void little_memory_is_enough(void **state)
{
    (void)state;
    check_all(&(struct reader_setup){.plain_len_min = UINT64_MAX, .memory_len = 19u << 20}, 5);
}

static void less_memory_is_told(void **state)
{
    (void)state;
    start();
    make_images(&shapes[1], 1);
    struct image *const all[] = {&images[0]};
    struct reader_setup setup = {
        .images = all, .image_count = 1, .arena = native_arena(), .vcpu_count = 1, .memory_len = 2u << 20};
    struct reader *reader;
    struct error error = {0};
    assert_false(reader_make(&setup, &reader, &error));
    assert_int_equal(error.kind, ERROR_HOST);
    native_stop();
}

static void an_error_comes_when_it_is_its_turn(void **state)
{
    (void)state;
    const struct reader_setup setup = {.plain_len_min = UINT64_MAX};
    for (uint64_t voff = 0; voff < 4u << 20; voff += 1u << 19) {
        start();
        make_images(&shapes[1], 1);
        bad_seed_voff = voff;
        struct error error = {0};
        uint64_t end = read_all(make_reader(&setup), &setup, &error);
        assert_string_equal(error.detail, "no such stream");
        assert_int_equal(end, round_down(voff, 1u << 20)); /* its slot's start */
        assert_memory_equal(result, layouts[0].disk, end);
        native_stop();
    }
}

static void what_cannot_be_told_fails_behind_all_that_can(void **state)
{
    (void)state;
    const struct reader_setup setup = {.plain_len_min = 65536};
    start();
    make_images(&shapes[0], 1);
    bad_map_voff = 3000 * 1024;
    struct error error = {0};
    uint64_t end = read_all(make_reader(&setup), &setup, &error);
    assert_string_equal(error.detail, "no such table");
    assert_int_equal(end, bad_map_voff);
    assert_memory_equal(result, layouts[0].disk, end);
    native_stop();
}

static void salvage_makes_zeros_of_what_is_lost(void **state)
{
    (void)state;
    const struct reader_setup setup = {.plain_len_min = UINT64_MAX, .salvage = true};
    start();
    make_images(&shapes[1], 1);
    bad_seed_voff = 3 * 65536;
    bad_map_voff = 8 * 65536;
    struct error error = {0};
    assert_int_equal(read_all(make_reader(&setup), &setup, &error), DISK_LEN_MAX);
    memset(layouts[0].disk + bad_seed_voff, 0, 65536);
    memset(layouts[0].disk + bad_map_voff, 0, 512);
    assert_memory_equal(result, layouts[0].disk, DISK_LEN_MAX);
    assert_int_equal(warning_count, 128 + 1);
    native_stop();
}

/* A file that got shorter while it was read: what is behind its end now cannot be read. */
static void salvage_reads_what_is_left_of_a_file(void **state)
{
    (void)state;
    const struct reader_setup setup = {.plain_len_min = UINT64_MAX, .salvage = true};
    char path[] = "/tmp/instar-reader-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    start();
    make_images(&shapes[0], 7);
    assert_int_equal(write(fd, file_bytes, FILE_LEN), FILE_LEN);
    struct file *file;
    struct error error = {0};
    assert_true(native_file_open(path, false, &file, &error));
    images[0].file = file;
    for (uint32_t i = 0; i < layouts[0].count; i++) {
        layouts[0].extents[i].file = file;
    }
    const uint64_t left_len = FILE_LEN / 2 + 1024;
    assert_int_equal(ftruncate(fd, (off_t)left_len), 0);
    uint32_t lost_sectors = 0;
    for (uint64_t off = 0; off < layouts[0].count; off++) {
        const struct extent *extent = &layouts[0].extents[off];
        for (uint64_t i = 0; extent->kind == EXTENT_DATA && i < extent->len; i += 512) {
            if (extent->file_off + i >= left_len && extent->file_off + i < FILE_LEN) {
                memset(layouts[0].disk + extent->voff + i, 0, 512);
                lost_sectors++;
            }
        }
    }
    assert_int_equal(read_all(make_reader(&setup), &setup, &error), images[0].virtual_len);
    assert_memory_equal(result, layouts[0].disk, images[0].virtual_len);
    assert_true(lost_sectors > 0);
    assert_int_equal(warning_count, lost_sectors);
    native_stop();
    close(fd);
    unlink(path);
}

static void write_disk(struct reader *reader, struct convert_target *target)
{
    struct error error = {0};
    target->reader = reader;
    reader_start(reader, &images[0]);
    while (!reader_is_finished(reader) || !convert_target_is_idle(target)) {
        bool is_taken = true;
        bool has_moved = true;
        struct reader_part part;
        reader_advance(reader);
        while (has_moved) {
            assert_true(convert_target_submit(target, &has_moved, &error));
        }
        if (!target->has_part) {
            assert_true(reader_take(reader, &part, &is_taken, &error));
            if (is_taken) {
                convert_target_give(target, &part, images[0].virtual_len);
                continue;
            }
        }
        assert_true(reader_wait(reader, &target->pending, &error));
    }
}

/* Writes all shapes to files that were zero, or full of something else, in turn. */
static void check_target(uint64_t sparse_len, uint32_t turn)
{
    static uint8_t written[DISK_LEN_MAX + 1024];
    for (uint32_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        bool was_zero = (i + turn) % 2 == 0;
        char path[] = "/tmp/instar-target-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        uint64_t len = round_up(shapes[i].len[0], 512);
        uint64_t written_len = len + 1024;
        memset(written, was_zero ? 0 : 0x77, written_len);
        assert_int_equal(write(fd, written, written_len), written_len);
        start();
        make_images(&shapes[i], i);
        images[0].virtual_len = shapes[i].len[0];
        struct file *file;
        struct error error = {0};
        assert_true(native_file_open(path, true, &file, &error));
        file->is_resizable = false;
        file->reads_as_zero = was_zero;
        struct io *io = io_make(native_arena(), NATIVE_IO_REQUESTS);
        native_environment()->io = io;
        struct target_setup target_setup = {
            .environment = native_environment(),
            .file = file,
            .virtual_len = 512 + len,
            .stores_zeros = sparse_len == 0,
        };
        struct target *raw;
        assert_true(raw_create(&target_setup, &raw, &error));
        struct progress progress;
        progress_init(&progress, len, 512, PROGRESS_NEVER);
        static struct convert_target target;
        struct convert_target_setup setup = {
            .target = raw,
            .progress = &progress,
            .arena = native_arena(),
            .vcpu_count = 1,
            .total_len = target_setup.virtual_len,
            .sparse_len = sparse_len,
            .piece_len = sparse_len == 512 ? 65536 : 0,
        };
        assert_true(convert_target_init(&target, &setup, &error));
        target.base_off = 512;
        write_disk(make_reader(&(struct reader_setup){.io = io, .plain_len_min = 65536}), &target);
        assert_true(raw->operations->finish(raw, false, &error));
        assert_false(error_is_set(&target.error));
        assert_int_equal(progress.done_len, len);
        assert_int_equal(pread(fd, written, written_len, 0), written_len);
        assert_memory_equal(written + 512, layouts[0].disk, shapes[i].len[0]);
        const uint8_t before = was_zero ? 0 : 0x77;
        assert_int_equal(written[511], before);
        assert_int_equal(written[512 + len], before);
        native_stop();
        close(fd);
        unlink(path);
    }
}

static void disks_are_written_as_they_are(void **state)
{
    (void)state;
    static const uint32_t sparse_lens[] = {0, 512, 4096, 65536, 3u << 20};
    for (uint32_t i = 0; i < ARRAY_COUNT(sparse_lens); i++) {
        check_target(sparse_lens[i], i);
    }
}

/* In place of guest/formats/formats.c. */
const struct format *const formats[] = {&plain_format, &fake_format, NULL};

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_is_read_whole),
        cmocka_unit_test(plain_data_is_not_read_where_the_caller_wants_it_so),
        cmocka_unit_test(zeros_are_found_in_what_is_not_read),
        cmocka_unit_test(parts_end_within_sectors_where_extents_do),
        cmocka_unit_test(little_memory_is_enough),
        cmocka_unit_test(less_memory_is_told),
        cmocka_unit_test(an_error_comes_when_it_is_its_turn),
        cmocka_unit_test(what_cannot_be_told_fails_behind_all_that_can),
        cmocka_unit_test(salvage_makes_zeros_of_what_is_lost),
        cmocka_unit_test(salvage_reads_what_is_left_of_a_file),
        cmocka_unit_test(disks_are_written_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
