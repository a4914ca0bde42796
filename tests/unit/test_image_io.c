/* SPDX-License-Identifier: Apache-2.0 */
/* Files and bulk I/O on devices, on a machine that is made up (test_guest_machine.h). */
#include "guest/image/io.h"

#include <pb_encode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "guest/image/device_files.h"
#include "messages.pb.h"
#include "test_guest_machine.h"

#define DISK_LEN 300007u /* the last sector is partial */
#define GUARD 0xa5u
#define SLOT_COUNT 24u
#define DATA_LEN_MAX 50000u

static struct boot_info boot;
static struct device_files *files;
static struct io *io;
static struct fake_disk *disks[2];
static struct file *disk_files[2];

static void add_disk(uint32_t index)
{
    disks[index] = fake_machine_add_disk(DISK_LEN);
    for (uint32_t i = 0; i < DISK_LEN; i++) {
        disks[index]->data[i] = (uint8_t)fake_random();
    }
    boot.device_count++;
}

static int start(void **state)
{
    (void)state;
    fake_machine_start(7);
    struct arena *arena = fake_machine_arena();
    boot = (struct boot_info){.arena_gpa = arena->next_gpa, .arena_len = arena->end_gpa - arena->next_gpa};
    add_disk(0);
    add_disk(1);
    files = device_files_make(&boot, fake_machine_rings(), arena);
    assert_non_null(files);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

static void open_all(uint32_t request_count)
{
    struct error error = {0};
    assert_true(device_files_open(files, 0, &disk_files[0], &error));
    assert_true(device_files_open(files, 1, &disk_files[1], &error));
    io = io_make(fake_machine_arena(), request_count);
    assert_non_null(io);
}

static uint8_t byte_at(uint32_t disk, uint64_t off)
{
    return off < DISK_LEN ? disks[disk]->data[off] : 0;
}

/* A read or a write of the test's, with guards around its data. */
struct transfer {
    struct io_request request;
    uint8_t *memory; /* GUARD_LEN bytes, the data, GUARD_LEN bytes */
    uint32_t disk;
    uint64_t off, len;
    bool is_busy;
    bool is_write;
    uint8_t expected; /* what every byte of a write is */
    uint64_t done_count;
    enum error_kind error_kind;
    char place[32];
};

#define GUARD_LEN 600u

static struct transfer transfers[SLOT_COUNT];
static uint64_t busy_count;

static void check_transfer(struct transfer *transfer)
{
    for (uint32_t i = 0; i < GUARD_LEN; i++) {
        assert_int_equal(transfer->memory[i], GUARD);
        assert_int_equal(transfer->memory[GUARD_LEN + transfer->len + i], GUARD);
    }
    for (uint64_t i = 0; !transfer->is_write && i < transfer->len; i++) {
        assert_int_equal(transfer->memory[GUARD_LEN + i], byte_at(transfer->disk, transfer->off + i));
    }
}

static void on_done(struct io_request *request, const struct error *error)
{
    struct transfer *transfer = request->owner;
    assert_ptr_equal(&transfer->request, request);
    assert_true(transfer->is_busy);
    transfer->is_busy = false;
    transfer->done_count++;
    transfer->error_kind = error != NULL ? error->kind : ERROR_NONE;
    if (error != NULL) {
        memcpy(transfer->place, error->place, sizeof(transfer->place));
    }
    busy_count--;
}

static struct transfer *free_transfer(void)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct transfer *transfer = &transfers[i];
        if (!transfer->is_busy) {
            if (transfer->memory == NULL) {
                transfer->memory = arena_allocate(fake_machine_arena(), DATA_LEN_MAX + 2 * GUARD_LEN, 1);
                assert_non_null(transfer->memory);
            }
            memset(transfer->memory, GUARD, DATA_LEN_MAX + 2 * GUARD_LEN);
            transfer->request = (struct io_request){.done = on_done, .owner = transfer};
            transfer->is_busy = true;
            busy_count++;
            return transfer;
        }
    }
    return NULL;
}

static void wait_for_all(void)
{
    struct error error = {0};
    while (busy_count > 0) {
        uint64_t before = busy_count;
        assert_true(io_wait(io, &error));
        assert_true(busy_count < before);
    }
}

static struct transfer *start_read(uint32_t disk, uint64_t off, uint64_t len)
{
    struct transfer *transfer = free_transfer();
    assert_non_null(transfer);
    transfer->disk = disk;
    transfer->off = off;
    transfer->len = len;
    transfer->is_write = false;
    io_read(io, &transfer->request, disk_files[disk], off, transfer->memory + GUARD_LEN, len);
    return transfer;
}

static void reset_transfers(void)
{
    memset(transfers, 0, sizeof(transfers));
    busy_count = 0;
}

/* Reads of any place and length, many at once, and single ones of somebody who waits in between. */
static void reads_see_the_files_whatever_else_is_under_way(void **state)
{
    (void)state;
    reset_transfers();
    disks[0]->queue_num_max = 8; /* less room than requests */
    disks[1]->config.size_max = 4096;
    open_all(SLOT_COUNT / 2);
    struct error error = {0};
    for (int round = 0; round < 3000; round++) {
        if (busy_count < SLOT_COUNT && fake_random() % 4 != 0) {
            uint64_t off = fake_random() % (DISK_LEN + 5000);
            start_read((uint32_t)(fake_random() % 2), off, fake_random() % DATA_LEN_MAX);
        } else if (fake_random() % 2 == 0) {
            uint8_t bytes[3000];
            uint32_t disk = (uint32_t)(fake_random() % 2);
            uint64_t off = fake_random() % (DISK_LEN + 500);
            size_t len = fake_random() % sizeof(bytes);
            assert_true(file_read(disk_files[disk], off, bytes, len, &error));
            for (size_t i = 0; i < len; i++) {
                assert_int_equal(bytes[i], byte_at(disk, off + i));
            }
        } else if (busy_count > 0) {
            assert_true(fake_random() % 2 == 0 ? io_wait(io, &error) : io_poll(io, &error));
        }
        for (uint32_t i = 0; i < SLOT_COUNT; i++) {
            if (!transfers[i].is_busy && transfers[i].done_count > 0) {
                assert_int_equal(transfers[i].error_kind, ERROR_NONE);
                check_transfer(&transfers[i]);
                transfers[i].done_count = 0;
            }
        }
    }
    wait_for_all();
}

static void start_write(uint32_t disk, uint64_t off, uint64_t len, uint8_t value)
{
    struct transfer *transfer = free_transfer();
    transfer->disk = disk;
    transfer->off = off;
    transfer->len = len;
    transfer->is_write = true;
    transfer->expected = value;
    memset(transfer->memory + GUARD_LEN, value, len);
    io_write(io, &transfer->request, disk_files[disk], off, transfer->memory + GUARD_LEN, len);
}

static void writes_change_their_range_and_nothing_else(void **state)
{
    (void)state;
    reset_transfers();
    static uint8_t before[DISK_LEN];
    memcpy(before, disks[1]->data, DISK_LEN);
    disks[1]->config.size_max = 1024; /* pieces */
    open_all(4);
    start_write(1, 512, 40000, 1);
    start_write(1, 65536, 512, 2);
    start_write(1, 299520, DISK_LEN - 299520, 3); /* up to the end, which is no sector's end */
    wait_for_all();
    for (uint32_t i = 0; i < DISK_LEN; i++) {
        uint8_t expected = before[i];
        expected = i >= 512 && i < 40512 ? 1 : expected;
        expected = i >= 65536 && i < 66048 ? 2 : expected;
        expected = i >= 299520 ? 3 : expected;
        /* The write that ends within a sector filled that up with zeros. */
        expected = i >= 40512 && i < 40960 ? 0 : expected;
        assert_int_equal(disks[1]->data[i], expected);
    }
}

static void zeroing_and_flushing_reach_the_device(void **state)
{
    (void)state;
    reset_transfers();
    open_all(4);
    struct transfer *zeroing = free_transfer();
    struct transfer *flush = free_transfer();
    io_write_zeroes(io, &zeroing->request, disk_files[0], 1024, 8192, true);
    io_flush(io, &flush->request, disk_files[0]);
    wait_for_all();
    assert_int_equal(zeroing->error_kind, ERROR_NONE);
    assert_int_equal(flush->error_kind, ERROR_NONE);
    for (uint32_t i = 1024; i < 1024 + 8192; i++) {
        assert_int_equal(disks[0]->data[i], 0);
    }
    assert_int_not_equal(disks[0]->requests[VIRTIO_BLK_T_FLUSH], 0);
}

/* As where a commit reads a base that it makes longer: what the device finishes meanwhile is not lost. */
static void a_new_length_leaves_alone_what_is_under_way(void **state)
{
    (void)state;
    reset_transfers();
    disks[1]->instar.flags |= VIRTIO_BLK_INSTAR_RESIZABLE;
    open_all(SLOT_COUNT);
    for (uint64_t round = 1; round <= 50; round++) {
        uint64_t len = DISK_LEN + 4096 * round;
        for (uint32_t i = 0; i < SLOT_COUNT - 1; i++) {
            start_read(1, fake_random() % (DISK_LEN - DATA_LEN_MAX), 1 + fake_random() % (DATA_LEN_MAX - 1));
        }
        struct transfer *growth = free_transfer();
        io_set_len(io, &growth->request, disk_files[1], len);
        wait_for_all();
        assert_int_equal(disks[1]->instar.file_len, len);
        assert_int_equal(disk_files[1]->len, len);
        for (uint32_t i = 0; i < SLOT_COUNT; i++) {
            assert_int_equal(transfers[i].done_count, 1);
            assert_int_equal(transfers[i].error_kind, ERROR_NONE);
            transfers[i].done_count = 0;
            if (&transfers[i] != growth) {
                check_transfer(&transfers[i]);
            }
        }
    }
}

static void nothing_to_transfer_is_done_all_the_same(void **state)
{
    (void)state;
    reset_transfers();
    open_all(2);
    struct transfer *behind = start_read(0, DISK_LEN + 4096, 700);
    start_read(0, 5, 0);
    assert_int_equal(busy_count, 2); /* not from within io_read */
    struct error error = {0};
    assert_true(io_poll(io, &error));
    assert_int_equal(busy_count, 0);
    check_transfer(behind);
}

static void a_failure_reaches_its_own_request_only(void **state)
{
    (void)state;
    reset_transfers();
    disks[1]->fail_type = VIRTIO_BLK_T_IN;
    disks[1]->fail_off = 4096;
    disks[1]->fail_status = VIRTIO_BLK_S_IOERR;
    open_all(8);
    struct transfer *well = start_read(1, 8192, 4096);
    struct transfer *ill = start_read(1, 3900, 1000);
    struct transfer *other = start_read(0, 4096, 4096);
    wait_for_all();
    assert_int_equal(well->error_kind, ERROR_NONE);
    assert_int_equal(other->error_kind, ERROR_NONE);
    check_transfer(well);
    check_transfer(other);
    assert_int_equal(ill->error_kind, ERROR_IO);
    assert_string_equal(ill->place, "device 1");
}

static void waiting_reads_fail_with_the_device_in_the_error(void **state)
{
    (void)state;
    disks[1]->fail_type = VIRTIO_BLK_T_IN;
    disks[1]->fail_off = 4096;
    disks[1]->fail_status = VIRTIO_BLK_S_IOERR;
    open_all(8);
    struct error error = {0};
    uint8_t byte;
    assert_true(file_read(disk_files[1], 0, &byte, 1, &error));
    assert_false(file_read(disk_files[1], 4100, &byte, 1, &error));
    assert_int_equal(error.kind, ERROR_IO);
    assert_string_equal(error.place, "device 1");
}

static void extents_come_in_any_order_of_asking(void **state)
{
    (void)state;
    static const struct virtio_blk_extent extents[] = {
        {0, 65536, VIRTIO_BLK_EXTENT_DATA, 0},
        {65536, 4096, VIRTIO_BLK_EXTENT_HOLE, 0},
        {69632, 100000, VIRTIO_BLK_EXTENT_DATA, 0},
        {169632, DISK_LEN - 169632, VIRTIO_BLK_EXTENT_HOLE, 0},
    };
    disks[0]->extents = extents;
    disks[0]->extent_count = ARRAY_COUNT(extents);
    disks[0]->extents_per_answer = 2;
    open_all(1);
    for (int round = 0; round < 500; round++) {
        uint64_t off = fake_random() % DISK_LEN;
        struct error error = {0};
        enum file_extent_kind kind;
        uint64_t len;
        assert_true(file_extent(disk_files[0], off, &kind, &len, &error));
        uint32_t i = 0;
        while (off >= extents[i].off + extents[i].len) {
            i++;
        }
        assert_int_equal(kind, extents[i].kind == VIRTIO_BLK_EXTENT_HOLE ? FILE_HOLE : FILE_DATA);
        assert_int_equal(len, extents[i].off + extents[i].len - off);
    }
}

static void extents_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    static struct virtio_blk_extent extents[] = {
        {0, 65536, VIRTIO_BLK_EXTENT_DATA, 0}, {66048, 4096, VIRTIO_BLK_EXTENT_HOLE, 0}, /* a gap before it */
    };
    disks[0]->extents = extents;
    disks[0]->extent_count = ARRAY_COUNT(extents);
    open_all(1);
    struct error error = {0};
    enum file_extent_kind kind;
    uint64_t len;
    assert_false(file_extent(disk_files[0], 0, &kind, &len, &error));
    assert_int_equal(error.kind, ERROR_HOST);
    extents[1].off = 65536;
    extents[1].kind = 77;
    error = (struct error){0};
    assert_false(file_extent(disk_files[0], 0, &kind, &len, &error));
    extents[1].kind = VIRTIO_BLK_EXTENT_HOLE;
    error = (struct error){0};
    assert_true(file_extent(disk_files[0], 0, &kind, &len, &error));
    error = (struct error){0};
    assert_false(file_extent(disk_files[0], 200000, &kind, &len, &error)); /* the list ends before */
    assert_false(file_extent(disk_files[0], DISK_LEN, &kind, &len, &error));
}

static void a_device_is_one_file_however_often_it_is_opened(void **state)
{
    (void)state;
    open_all(1);
    struct file *again;
    struct error error = {0};
    assert_true(device_files_open(files, 1, &again, &error));
    assert_ptr_equal(again, disk_files[1]);
    assert_int_equal(again->len, DISK_LEN);
    assert_string_equal(again->name, "device 1");
    assert_false(device_files_open(files, 2, &again, &error));
}

/* The host's answer to an OpenMessage, in its frame. */
static void answer(bool success, uint32_t device, uint32_t error_kind)
{
    static uint8_t frame[64];
    instar_OpenReply reply = {.success = success, .device = device, .error_kind = error_kind};
    pb_ostream_t stream = pb_ostream_from_buffer(frame + 4, sizeof(frame) - 4);
    assert_true(pb_encode(&stream, instar_OpenReply_fields, &reply));
    frame[0] = (uint8_t)stream.bytes_written;
    fake_machine_set_input(frame, 4 + stream.bytes_written);
}

static void files_that_images_name_come_from_the_host(void **state)
{
    (void)state;
    struct image_environment environment = {.open_file = device_files_open_late, .context = files};
    struct span name = {(const uint8_t *)"base", 4};
    struct error error = {0};
    struct file *file, *late;
    assert_true(device_files_open(files, 0, &file, &error));
    answer(true, 1, 0);
    assert_true(environment.open_file(&environment, name, file, IMAGE_FILE_BACKING, &late, &error));
    assert_int_equal(late->device, 1);
    answer(true, 9, 0); /* there is no such device */
    assert_false(environment.open_file(&environment, name, file, IMAGE_FILE_BACKING, &late, &error));
    error = (struct error){0};
    answer(false, 0, ERROR_REFUSED);
    assert_false(environment.open_file(&environment, name, file, IMAGE_FILE_BACKING, &late, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_see_the_files_whatever_else_is_under_way),  TEST(writes_change_their_range_and_nothing_else),
        TEST(zeroing_and_flushing_reach_the_device),           TEST(a_new_length_leaves_alone_what_is_under_way),
        TEST(nothing_to_transfer_is_done_all_the_same),        TEST(a_failure_reaches_its_own_request_only),
        TEST(waiting_reads_fail_with_the_device_in_the_error), TEST(extents_come_in_any_order_of_asking),
        TEST(extents_that_contradict_themselves_are_refused),  TEST(a_device_is_one_file_however_often_it_is_opened),
        TEST(files_that_images_name_come_from_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
