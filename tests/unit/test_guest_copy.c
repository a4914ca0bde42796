/* SPDX-License-Identifier: Apache-2.0 */
/* Whole copies between two disks in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/ports.h"
#include "base/checked.h"
#include "guest/operations/copy/copy_device.h"
#include "test_guest_machine.h"

#define JUNK 0xaa
#define MIB (1ull << 20)

struct fixture {
    struct fake_disk *input;
    struct fake_disk *output;
    struct copy_options options;
    struct copy_result result;
    struct error error;
    struct virtio_blk input_blk, output_blk;
};

/* Two disks; the output's content is junk, and known to be. */
static struct fixture *fixture_make(uint64_t input_len, uint64_t output_len, uint64_t seed)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fake_machine_start(seed);
    fixture->input = fake_machine_add_disk(input_len);
    fixture->output = fake_machine_add_disk(output_len);
    memset(fixture->output->data, JUNK, output_len);
    fixture->options = (struct copy_options){
        .input = &fixture->input_blk,
        .output = &fixture->output_blk,
        .input_sector_len = 512,
        .output_sector_len = 512,
        .progress_percent = 100,
        .arena = fake_machine_arena(),
    };
    return fixture;
}

static void make_output_zeroed(struct fixture *fixture)
{
    fixture->output->instar.flags = VIRTIO_BLK_INSTAR_ZEROED;
    memset(fixture->output->data, 0, fixture->output->instar.file_len);
}

static void fixture_free(struct fixture *fixture)
{
    fake_machine_stop();
    free(fixture);
}

static void open_blk(struct virtio_blk *blk, const struct fake_disk *disk, const char *name)
{
    struct error error = {0};
    struct virtio_blk_setup setup = {
        .name = name,
        .registers_gpa = disk->registers_gpa,
        .queue_count = 1,
        .rings = fake_machine_rings(),
        .arena = fake_machine_arena(),
    };
    assert_true(virtio_blk_open(blk, &setup, &error));
}

static bool run(struct fixture *fixture)
{
    open_blk(&fixture->input_blk, fixture->input, "input");
    open_blk(&fixture->output_blk, fixture->output, "output");
    return copy_run(&fixture->options, &fixture->result, &fixture->error);
}

static void expect_copied(struct fixture *fixture)
{
    uint64_t len = fixture->input->instar.file_len;
    if (!run(fixture)) {
        fail_msg("%s: %s", fixture->error.place, fixture->error.detail);
    }
    assert_memory_equal(fixture->output->data, fixture->input->data, len);
    assert_int_equal(fixture->result.bytes_written + fixture->result.bytes_zero, len);
    assert_true(fixture->result.bytes_read <= len);
}

static void expect_fails(struct fixture *fixture, enum error_kind kind, const char *place, const char *detail)
{
    assert_false(run(fixture));
    assert_int_equal(fixture->error.kind, kind);
    assert_string_equal(fixture->error.place, place);
    assert_string_equal(fixture->error.detail, detail);
}

static void fill_random(uint8_t *data, uint64_t len)
{
    for (uint64_t off = 0; off < len; off += sizeof(uint64_t)) {
        uint64_t bytes = fake_random();
        memcpy(data + off, &bytes, min_u64(sizeof(bytes), len - off));
    }
}

/* Random data with zero blocks in it. */
static void fill_mixed(uint8_t *data, uint64_t len)
{
    fill_random(data, len);
    for (uint64_t off = 0; off < len; off += 4096) {
        if (fake_random() % 4 == 0) {
            memset(data + off, 0, min_u64(4096, len - off));
        }
    }
}

static void every_length_is_copied_exactly(void **state)
{
    (void)state;
    static const uint64_t lens[] = {0, 1, 511, 512, 513, 4095, 4097, MIB - 1, MIB, MIB + 1, 5 * MIB + 77};
    for (unsigned int i = 0; i < ARRAY_COUNT(lens); i++) {
        struct fixture *fixture = fixture_make(lens[i], lens[i], i);
        fill_random(fixture->input->data, lens[i]);
        expect_copied(fixture);
        assert_int_equal(fixture->result.bytes_read, lens[i]);
        fixture_free(fixture);
    }
}

/* Up to `count` extents, data and holes in turn, none shorter than a sector, at any byte. */
static void make_sparse(struct fixture *fixture, struct virtio_blk_extent *extents, uint32_t count)
{
    uint64_t len = fixture->input->instar.file_len;
    uint64_t off = 0;
    uint32_t used = 0;
    while (off < len) {
        uint64_t extent_len = 512 + fake_random() % (2 * len / count + 1);
        if (used + 1 == count || len - off < extent_len + 512) {
            extent_len = len - off;
        }
        struct virtio_blk_extent *extent = &extents[used++];
        *extent = (struct virtio_blk_extent){.off = off, .len = extent_len, .kind = VIRTIO_BLK_EXTENT_HOLE};
        if (used % 2 == 1) {
            extent->kind = VIRTIO_BLK_EXTENT_DATA;
            fill_mixed(fixture->input->data + off, extent_len);
        }
        off += extent_len;
    }
    fixture->input->extents = extents;
    fixture->input->extent_count = used;
}

/* Everything that may vary, at random. */
static void every_combination_is_copied_exactly(void **state)
{
    (void)state;
    static const uint32_t sector_lens[] = {512, 512, 4096, 65536};
    static const uint32_t request_lens[] = {0, 0, 512, 4096, 1536, 65536};
    static const uint32_t queue_sizes[] = {1, 2, 8, 256, 256, 1024};
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct virtio_blk_extent extents[40];
        struct fixture *fixture = fixture_make(1 + seed * 20011, 1 + seed * 20011 + seed % 3 * 512, seed);
        make_sparse(fixture, extents, 1 + (uint32_t)(fake_random() % ARRAY_COUNT(extents)));
        fixture->input->extents_per_answer = 3 + (uint32_t)(fake_random() % 5);
        fixture->options.input_sector_len = sector_lens[fake_random() % ARRAY_COUNT(sector_lens)];
        fixture->options.output_sector_len = sector_lens[fake_random() % ARRAY_COUNT(sector_lens)];
        fixture->options.request_len = request_lens[fake_random() % ARRAY_COUNT(request_lens)];
        fixture->options.transfer_count = (uint32_t)(fake_random() % 6);
        fixture->input->queue_num_max = queue_sizes[fake_random() % ARRAY_COUNT(queue_sizes)];
        fixture->output->queue_num_max = queue_sizes[fake_random() % ARRAY_COUNT(queue_sizes)];
        fixture->input->config.size_max = 1u << (9 + fake_random() % 14);
        fixture->output->config.max_write_zeroes_sectors = 1u << fake_random() % 16;
        fixture->output->features &= ~(fake_random() % 2 * VIRTIO_BLK_F_WRITE_ZEROES);
        fixture->output->features &= ~(fake_random() % 2 * VIRTIO_F_EVENT_IDX);
        if (fake_random() % 2 == 0) {
            make_output_zeroed(fixture);
        }
        expect_copied(fixture);
        fixture_free(fixture);
    }
}

static void device_that_knows_no_extents_is_read_completely(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(3 * MIB, 3 * MIB, 1);
    fixture->input->features &= ~VIRTIO_BLK_F_INSTAR;
    fill_mixed(fixture->input->data, 3 * MIB);
    expect_copied(fixture);
    assert_int_equal(fixture->result.bytes_read, 3 * MIB);
    assert_int_equal(fixture->input->extent_requests, 0);
    fixture_free(fixture);
}

static void zeros_are_not_written_where_the_output_is_zero(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(3 * MIB, 3 * MIB, 1);
    make_output_zeroed(fixture);
    fill_random(fixture->input->data + 4096, 4096);
    fill_random(fixture->input->data + 2 * MIB, 8192);
    expect_copied(fixture);
    assert_int_equal(fixture->output->written_len, 12288);
    assert_int_equal(fixture->output->zeroed_len, 0);
    assert_int_equal(fixture->result.bytes_written, 12288);
    assert_int_equal(fixture->result.bytes_zero, 3 * MIB - 12288);
    fixture_free(fixture);
}

static void zeros_are_zeroed_where_the_output_is_not_zero(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(3 * MIB, 3 * MIB, 1);
    fill_random(fixture->input->data + 4096, 4096);
    expect_copied(fixture);
    assert_int_equal(fixture->output->written_len, 4096);
    assert_int_equal(fixture->output->zeroed_len, 3 * MIB - 4096);
    fixture_free(fixture);
}

static void holes_are_not_read(void **state)
{
    (void)state;
    const struct virtio_blk_extent extents[] = {
        {.off = 0, .len = 5000, .kind = VIRTIO_BLK_EXTENT_HOLE},
        {.off = 5000, .len = 1000, .kind = VIRTIO_BLK_EXTENT_DATA},
        {.off = 6000, .len = 3 * MIB - 6000, .kind = VIRTIO_BLK_EXTENT_HOLE},
    };
    struct fixture *fixture = fixture_make(3 * MIB, 3 * MIB, 1);
    fixture->input->extents = extents;
    fixture->input->extent_count = ARRAY_COUNT(extents);
    fill_random(fixture->input->data + 5000, 1000);
    expect_copied(fixture);
    assert_int_equal(fixture->input->read_len, 6144 - 4608);
    assert_int_equal(fixture->result.bytes_read, 6144 - 4608);
    fixture_free(fixture);
}

static void each_sector_can_be_a_request_of_its_own(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(MIB + 1000, MIB + 1000, 1);
    fill_random(fixture->input->data, MIB + 1000);
    fixture->options.request_len = 512;
    expect_copied(fixture);
    assert_int_equal(fixture->input->requests[VIRTIO_BLK_T_IN], 2050);
    assert_int_equal(fixture->output->requests[VIRTIO_BLK_T_OUT], 2050);
    assert_int_equal(fixture->input->longest_len, 512);
    assert_int_equal(fixture->output->longest_len, 512);
    fixture_free(fixture);
}

static void requests_are_large_by_default(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(16 * MIB, 16 * MIB, 1);
    memset(fixture->input->data, 'd', 16 * MIB);
    expect_copied(fixture);
    assert_int_equal(fixture->input->requests[VIRTIO_BLK_T_IN], 16);
    assert_int_equal(fixture->output->requests[VIRTIO_BLK_T_OUT], 16);
    /* One notification per batch, not per request. */
    assert_true(fixture->input->notifications + fixture->output->notifications < 16);
    fixture_free(fixture);
}

static void sync_flushes_once_at_the_end(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(MIB, MIB, 1);
    fixture->options.sync = true;
    expect_copied(fixture);
    assert_int_equal(fixture->output->requests[VIRTIO_BLK_T_FLUSH], 1);
    fixture_free(fixture);

    fixture = fixture_make(MIB, MIB, 1);
    fixture->options.sync = true;
    fixture->output->features &= ~VIRTIO_BLK_F_FLUSH;
    expect_copied(fixture);
    assert_int_equal(fixture->output->requests[VIRTIO_BLK_T_FLUSH], 0);
    fixture_free(fixture);
}

static uint64_t message_count(void)
{
    uint64_t len;
    const uint8_t *output = fake_machine_output(PORT_MESSAGE_DATA, &len);
    uint64_t count = 0;
    for (uint64_t off = 0; off < len; off += 4u + output[off]) {
        count++;
    }
    return count;
}

static void progress_is_reported(void **state)
{
    (void)state;
    static const uint32_t percents[] = {0, 10, 30, 100};
    static const uint64_t counts[] = {3 * MIB / 5120, 10, 3, 0};
    for (unsigned int i = 0; i < ARRAY_COUNT(percents); i++) {
        struct fixture *fixture = fixture_make(3 * MIB, 3 * MIB, 1);
        fill_mixed(fixture->input->data, 3 * MIB);
        fixture->options.progress_percent = percents[i];
        expect_copied(fixture);
        assert_int_equal(message_count(), counts[i]);
        fixture_free(fixture);
    }
}

static void smaller_output_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(1000, 999, 1);
    expect_fails(fixture, ERROR_USAGE, "output", "output is smaller than the input: 999 bytes, needed are 1000");
    fixture_free(fixture);
}

static void read_only_output_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(512, 512, 1);
    fixture->output->features |= VIRTIO_BLK_F_RO;
    expect_fails(fixture, ERROR_USAGE, "output", "output is read-only");
    fixture_free(fixture);
}

static void impossible_options_are_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(512, 512, 1);
    fixture->options.request_len = 1000;
    expect_fails(fixture, ERROR_USAGE, "", "requests of 1000 bytes are not whole sectors of 512 bytes");
    fixture_free(fixture);
    fixture = fixture_make(512, 512, 1);
    fixture->options.output_sector_len = 32 * MIB;
    expect_fails(fixture, ERROR_UNSUPPORTED, "", "sectors of 33554432 bytes are too large");
    fixture_free(fixture);
}

static void too_little_memory_is_an_error(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(512, 512, 1);
    while (arena_left(fake_machine_arena(), 4096) > 2 * MIB) {
        assert_non_null(arena_allocate(fake_machine_arena(), 4096, 4096));
    }
    expect_fails(fixture, ERROR_HOST, "", "the machine has no memory for 2 buffers of 1048576 bytes");
    fixture_free(fixture);
}

static void failed_requests_say_where(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *place;
        const char *detail;
    } cases[] = {
        {VIRTIO_BLK_T_IN, "input", "read of 1048576 bytes at offset 0x200000 failed"},
        {VIRTIO_BLK_T_OUT, "output", "write of 1048576 bytes at offset 0x200000 failed"},
        {VIRTIO_BLK_T_FLUSH, "output", "flush failed"},
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(cases); i++) {
        struct fixture *fixture = fixture_make(4 * MIB, 4 * MIB, i);
        struct fake_disk *disk = strcmp(cases[i].place, "input") == 0 ? fixture->input : fixture->output;
        memset(fixture->input->data, 'e', 4 * MIB);
        disk->fail_status = VIRTIO_BLK_S_IOERR;
        disk->fail_type = cases[i].type;
        disk->fail_off = 0x2fffff;
        fixture->options.sync = true;
        expect_fails(fixture, ERROR_IO, cases[i].place, cases[i].detail);
        fixture_free(fixture);
    }
}

static void expect_extents_refused(const struct virtio_blk_extent *extents, uint32_t count, const char *detail)
{
    struct fixture *fixture = fixture_make(4 * MIB, 4 * MIB, 1);
    fixture->input->extents = extents;
    fixture->input->extent_count = count;
    expect_fails(fixture, ERROR_HOST, "input", detail);
    fixture_free(fixture);
}

static void nonsense_about_extents_is_refused(void **state)
{
    (void)state;
    const struct virtio_blk_extent late[] = {{.off = 512, .len = 4 * MIB, .kind = VIRTIO_BLK_EXTENT_DATA}};
    expect_extents_refused(late, 1, "the device's list of data and holes at 0x0 has gaps");
    const struct virtio_blk_extent gap[] = {{.off = 0, .len = 512, .kind = VIRTIO_BLK_EXTENT_DATA},
                                            {.off = 1024, .len = 4 * MIB, .kind = VIRTIO_BLK_EXTENT_HOLE}};
    expect_extents_refused(gap, 2, "the device's list of data and holes at 0x0 has gaps");
    const struct virtio_blk_extent kind[] = {{.off = 0, .len = 4 * MIB, .kind = 3}};
    expect_extents_refused(kind, 1, "the device's list of data and holes at 0x0 has an unknown kind");
    const struct virtio_blk_extent tiny[] = {{.off = 0, .len = 100, .kind = VIRTIO_BLK_EXTENT_DATA}};
    expect_extents_refused(tiny, 1, "the device's list of data and holes at 0x0 does not advance");
    const struct virtio_blk_extent early[] = {{.off = 0, .len = 1 * MIB, .kind = VIRTIO_BLK_EXTENT_DATA}};
    expect_extents_refused(early, 1, "the device's list of data and holes at 0x100000 is cut short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_is_copied_exactly),
        cmocka_unit_test(every_combination_is_copied_exactly),
        cmocka_unit_test(device_that_knows_no_extents_is_read_completely),
        cmocka_unit_test(zeros_are_not_written_where_the_output_is_zero),
        cmocka_unit_test(zeros_are_zeroed_where_the_output_is_not_zero),
        cmocka_unit_test(holes_are_not_read),
        cmocka_unit_test(each_sector_can_be_a_request_of_its_own),
        cmocka_unit_test(requests_are_large_by_default),
        cmocka_unit_test(sync_flushes_once_at_the_end),
        cmocka_unit_test(progress_is_reported),
        cmocka_unit_test(smaller_output_is_refused),
        cmocka_unit_test(read_only_output_is_refused),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(too_little_memory_is_an_error),
        cmocka_unit_test(failed_requests_say_where),
        cmocka_unit_test(nonsense_about_extents_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
