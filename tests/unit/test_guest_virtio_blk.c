/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "guest/drivers/virtio_blk_driver.h"
#include "test_guest_machine.h"

static struct virtio_blk_setup setup_of(const struct fake_disk *disk)
{
    return (struct virtio_blk_setup){
        .name = "disk",
        .registers_gpa = disk->registers_gpa,
        .queue_count = 1,
        .rings = fake_machine_rings(),
        .arena = fake_machine_arena(),
    };
}

static void open_disk(struct virtio_blk *blk, const struct fake_disk *disk)
{
    struct error error = {0};
    struct virtio_blk_setup setup = setup_of(disk);
    assert_true(virtio_blk_open(blk, &setup, &error));
    assert_int_equal(error.kind, ERROR_NONE);
}

static void expect_open_fails(const struct fake_disk *disk, enum error_kind kind, const char *detail)
{
    struct virtio_blk blk;
    struct error error = {0};
    struct virtio_blk_setup setup = setup_of(disk);
    assert_false(virtio_blk_open(&blk, &setup, &error));
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.place, "disk");
    assert_string_equal(error.detail, detail);
}

static struct virtio_blk_request *make_request(void)
{
    struct virtio_blk_request *request =
        arena_allocate(fake_machine_arena(), sizeof(*request), _Alignof(struct virtio_blk_request));
    assert_non_null(request);
    return request;
}

static void expect_executed(struct virtio_blk *blk, struct virtio_blk_request *request)
{
    struct error error = {0};
    assert_true(virtio_blk_execute(blk, 0, request, &error));
}

static void expect_fails(struct virtio_blk *blk, struct virtio_blk_request *request, enum error_kind kind,
                         const char *detail)
{
    struct error error = {0};
    assert_false(virtio_blk_execute(blk, 0, request, &error));
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.place, "disk");
    assert_string_equal(error.detail, detail);
}

static int start(void **state)
{
    (void)state;
    fake_machine_start(1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

static void configuration_is_read(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(1000001);
    disk->config.blk_size = 4096;
    disk->instar.flags = VIRTIO_BLK_INSTAR_ZEROED;
    open_disk(&blk, disk);
    assert_int_equal(blk.file_len, 1000001);
    assert_int_equal(blk.capacity_len, 1000448);
    assert_int_equal(blk.block_len, 4096);
    assert_int_equal(blk.segment_len, 4 << 20);
    assert_int_equal(blk.segment_count, VIRTIO_BLK_SEGMENTS_MAX);
    assert_int_equal(blk.transfer_len, VIRTIO_BLK_DATA_LEN_MAX);
    assert_int_equal(blk.zeroing_len, 512 << 20);
    assert_int_equal(blk.discard_len, 512 << 20);
    assert_true(blk.is_zeroed);
    assert_false(blk.is_read_only);
    assert_int_equal(disk->status, 0x0f);
    assert_int_equal(disk->queue_num, VIRTQUEUE_SIZE_MAX);
}

static void fields_without_their_feature_are_not_believed(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(1000001);
    disk->features = VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_BLK_F_RO;
    disk->instar.flags = VIRTIO_BLK_INSTAR_ZEROED;
    disk->config.blk_size = 4096;
    open_disk(&blk, disk);
    assert_int_equal(blk.file_len, 1000448);
    assert_int_equal(blk.block_len, 512);
    assert_int_equal(blk.segment_count, 1);
    assert_int_equal(blk.zeroing_len, 0);
    assert_int_equal(blk.discard_len, 0);
    assert_false(blk.is_zeroed);
    assert_true(blk.is_read_only);
    assert_false(blk.queues[0].event_idx);
}

static void device_in_use_is_reset_first(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(512);
    disk->status = VIRTIO_STATUS_FAILED;
    open_disk(&blk, disk);
    assert_int_equal(disk->status, 0x0f);
}

static void missing_feature_is_refused(void **state)
{
    (void)state;
    struct fake_disk *disk = fake_machine_add_disk(512);
    disk->features &= ~VIRTIO_F_INDIRECT_DESC;
    expect_open_fails(disk, ERROR_HOST, "the device lacks the features 0x10000000");
}

static void refused_features_are_an_error(void **state)
{
    (void)state;
    struct fake_disk *disk = fake_machine_add_disk(512);
    disk->refuses_features = true;
    struct virtio_blk blk;
    struct error error = {0};
    struct virtio_blk_setup setup = setup_of(disk);
    assert_false(virtio_blk_open(&blk, &setup, &error));
    assert_int_equal(error.kind, ERROR_HOST);
}

static void our_device_starts_with_one_exit(void **state)
{
    (void)state;
    for (uint32_t is_late = 0; is_late < 2; is_late++) {
        struct virtio_blk blk;
        struct fake_disk *disk = fake_machine_add_disk(64 * 512);
        disk->is_ours = true;
        disk->is_late = is_late != 0;
        open_disk(&blk, disk);
        assert_int_equal(disk->exits, 1);
        assert_int_equal(disk->driver_features, blk.mmio.features);
        struct virtio_blk_request *request = make_request();
        uint8_t *data = arena_allocate(fake_machine_arena(), 512, 16);
        memset(data, 'a', 512);
        virtio_blk_write(&blk, 0, request, 0, data, 512);
        expect_executed(&blk, request);
        assert_int_equal(disk->data[511], 'a');
        assert_int_equal(disk->notifications, 1);
        assert_int_equal(disk->exits, 1);
    }
}

static void our_device_refuses_features_late(void **state)
{
    (void)state;
    struct fake_disk *disk = fake_machine_add_disk(512);
    disk->is_ours = true;
    disk->refuses_features = true;
    struct virtio_blk blk;
    struct error error = {0};
    struct virtio_blk_setup setup = setup_of(disk);
    assert_false(virtio_blk_open(&blk, &setup, &error));
    assert_int_equal(error.kind, ERROR_HOST);
    assert_non_null(strstr(error.detail, "refused the features"));
}

static void impossible_configuration_is_refused(void **state)
{
    (void)state;
    struct fake_disk *disk = fake_machine_add_disk(512);
    disk->config.blk_size = 1000;
    expect_open_fails(disk, ERROR_HOST, "the device's sectors have 1000 bytes");
    disk->config.blk_size = 512;
    disk->instar.file_len = 513;
    expect_open_fails(disk, ERROR_HOST, "the device's file is longer than the device");
    disk->instar.file_len = 512;
    disk->config.capacity = UINT64_MAX / 512 + 1;
    expect_open_fails(disk, ERROR_HOST, "the device's capacity is 36028797018963968 sectors");
    disk->config.capacity = 1;
    disk->config.size_max = 511;
    disk->config.seg_max = 1;
    expect_open_fails(disk, ERROR_HOST, "the device takes 1 segments of 511 bytes");
    disk->config.seg_max = 64;
    disk->queue_num_max = 0;
    expect_open_fails(disk, ERROR_HOST, "the device has no queue 0");
}

static void data_is_read_and_written(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(64 * 512);
    open_disk(&blk, disk);
    struct virtio_blk_request *request = make_request();
    uint8_t *data = arena_allocate(fake_machine_arena(), 1024, 16);
    assert_non_null(data);
    memset(data, 'a', 1024);
    virtio_blk_write(&blk, 0, request, 7 * 512, data, 1024);
    expect_executed(&blk, request);
    memset(data, 0, 1024);
    virtio_blk_read(&blk, 0, request, 8 * 512, data, 1024);
    expect_executed(&blk, request);
    assert_int_equal(data[511], 'a');
    assert_int_equal(data[512], 0);
    assert_int_equal(disk->data[7 * 512 - 1], 0);
    assert_int_equal(disk->data[7 * 512], 'a');
    assert_int_equal(disk->data[9 * 512], 0);
}

static void data_is_split_into_segments_that_the_device_takes(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(64 * 512);
    disk->config.size_max = 1000;
    disk->config.seg_max = 5;
    open_disk(&blk, disk);
    assert_int_equal(blk.transfer_len, 9 * 512);
    struct virtio_blk_request *request = make_request();
    uint8_t *data = arena_allocate(fake_machine_arena(), 9 * 512, 16);
    assert_non_null(data);
    memset(data, 'b', 9 * 512);
    virtio_blk_write(&blk, 0, request, 512, data, 9 * 512);
    expect_executed(&blk, request);
    assert_int_equal(disk->segments_max, 5);
    assert_memory_equal(disk->data + 512, data, 9 * 512);
    assert_int_equal(disk->data[10 * 512], 0);
}

static void segments_lie_anywhere(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(64 * 512);
    open_disk(&blk, disk);
    struct virtio_blk_request *request = make_request();
    uint8_t *data = arena_allocate(fake_machine_arena(), 4096, 16);
    assert_non_null(data);
    memset(data, 'x', 100);
    memset(data + 2000, 'y', 412);
    const struct virtio_blk_segment segments[] = {{data, 100}, {data + 2000, 412}};
    virtio_blk_write_segments(&blk, 0, request, 0, segments, 2);
    expect_executed(&blk, request);
    assert_memory_equal(disk->data, data, 100);
    assert_memory_equal(disk->data + 100, data + 2000, 412);
    const struct virtio_blk_segment back[] = {{data + 3000, 412}, {data + 1000, 100}};
    virtio_blk_read_segments(&blk, 0, request, 0, back, 2);
    expect_executed(&blk, request);
    assert_int_equal(data[3099], 'x');
    assert_int_equal(data[3100], 'y');
    assert_int_equal(data[1099], 'y');
}

static void other_requests_work(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(64 * 512);
    open_disk(&blk, disk);
    memset(disk->data, 'c', 64 * 512);
    struct virtio_blk_request *request = make_request();
    char *id = arena_allocate(fake_machine_arena(), VIRTIO_BLK_ID_LEN, 16);
    assert_non_null(id);
    virtio_blk_flush(&blk, 0, request);
    expect_executed(&blk, request);
    virtio_blk_discard(&blk, 0, request, 512, 512);
    expect_executed(&blk, request);
    virtio_blk_write_zeroes(&blk, 0, request, 1024, 2048, true);
    expect_executed(&blk, request);
    virtio_blk_get_id(&blk, 0, request, id);
    expect_executed(&blk, request);
    assert_string_equal(id, "a disk");
    assert_int_equal(disk->data[1023], 'c');
    assert_int_equal(disk->data[1024], 0);
    assert_int_equal(disk->data[3071], 0);
    assert_int_equal(disk->data[3072], 'c');
    assert_int_equal(disk->requests[VIRTIO_BLK_T_FLUSH], 1);
    assert_int_equal(disk->requests[VIRTIO_BLK_T_DISCARD], 1);
}

static void failures_say_what_failed(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(64 * 512);
    open_disk(&blk, disk);
    struct virtio_blk_request *request = make_request();
    uint8_t *data = arena_allocate(fake_machine_arena(), 4096, 16);
    assert_non_null(data);
    disk->fail_off = 0x2000;
    disk->fail_status = VIRTIO_BLK_S_IOERR;

    disk->fail_type = VIRTIO_BLK_T_IN;
    virtio_blk_read(&blk, 0, request, 0x1e00, data, 4096);
    expect_fails(&blk, request, ERROR_IO, "read of 4096 bytes at offset 0x1e00 failed");
    disk->fail_type = VIRTIO_BLK_T_OUT;
    virtio_blk_write(&blk, 0, request, 0x2000, data, 512);
    expect_fails(&blk, request, ERROR_IO, "write of 512 bytes at offset 0x2000 failed");
    disk->fail_type = VIRTIO_BLK_T_WRITE_ZEROES;
    virtio_blk_write_zeroes(&blk, 0, request, 0x2000, 1024, true);
    expect_fails(&blk, request, ERROR_IO, "zeroing of 1024 bytes at offset 0x2000 failed");
    disk->fail_type = VIRTIO_BLK_T_DISCARD;
    disk->fail_status = VIRTIO_BLK_S_UNSUPP;
    virtio_blk_discard(&blk, 0, request, 0x2000, 1024);
    expect_fails(&blk, request, ERROR_UNSUPPORTED,
                 "discard of 1024 bytes at offset 0x2000 is not supported by the device");
    disk->fail_type = VIRTIO_BLK_T_FLUSH;
    disk->fail_status = 0xff;
    virtio_blk_flush(&blk, 0, request);
    expect_fails(&blk, request, ERROR_HOST, "flush was not answered");
}

static void stopped_device_ends_the_wait(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(512);
    open_disk(&blk, disk);
    struct virtio_blk_request *request = make_request();
    virtio_blk_flush(&blk, 0, request);
    disk->status = VIRTIO_STATUS_NEEDS_RESET;
    expect_fails(&blk, request, ERROR_GUEST, "the device stopped: status 0x40");
}

static void broken_ring_is_an_error(void **state)
{
    (void)state;
    struct virtio_blk blk;
    struct fake_disk *disk = fake_machine_add_disk(512);
    open_disk(&blk, disk);
    struct virtio_blk_request *request = make_request();
    virtio_blk_flush(&blk, 0, request);
    blk.queues[0].used->idx = 7;
    expect_fails(&blk, request, ERROR_HOST, "the device's used ring 0 is broken");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration_is_read, start, stop),
        cmocka_unit_test_setup_teardown(fields_without_their_feature_are_not_believed, start, stop),
        cmocka_unit_test_setup_teardown(device_in_use_is_reset_first, start, stop),
        cmocka_unit_test_setup_teardown(our_device_starts_with_one_exit, start, stop),
        cmocka_unit_test_setup_teardown(our_device_refuses_features_late, start, stop),
        cmocka_unit_test_setup_teardown(missing_feature_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(refused_features_are_an_error, start, stop),
        cmocka_unit_test_setup_teardown(impossible_configuration_is_refused, start, stop),
        cmocka_unit_test_setup_teardown(data_is_read_and_written, start, stop),
        cmocka_unit_test_setup_teardown(data_is_split_into_segments_that_the_device_takes, start, stop),
        cmocka_unit_test_setup_teardown(segments_lie_anywhere, start, stop),
        cmocka_unit_test_setup_teardown(other_requests_work, start, stop),
        cmocka_unit_test_setup_teardown(failures_say_what_failed, start, stop),
        cmocka_unit_test_setup_teardown(stopped_device_ends_the_wait, start, stop),
        cmocka_unit_test_setup_teardown(broken_ring_is_an_error, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
