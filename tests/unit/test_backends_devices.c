/* SPDX-License-Identifier: Apache-2.0 */
/* Backends on block devices: loop devices, which need root; skipped without it. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/attributes.h"
#include "test_backends_support.h"

/* Attaches `image` to a free loop device. Returns a descriptor that keeps it, or -1 where that is not possible. */
static int loop_attach(unsigned int sector_len, char ret_path[PATH_LEN])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file = open(image, O_RDWR | O_CLOEXEC);
    int device = -1;
    /* Another process may take the free device first. */
    for (unsigned int attempt = 0; attempt < 10 && control >= 0 && device < 0; attempt++) {
        snprintf(ret_path, PATH_LEN, "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
        struct loop_config config = {
            .fd = (uint32_t)file, .block_size = sector_len, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        device = open(ret_path, O_RDWR | O_CLOEXEC);
        int is_read_only = 0; /* the device may be as somebody before has set it */
        if (device >= 0 &&
            (ioctl(device, LOOP_CONFIGURE, &config) != 0 || ioctl(device, BLKROSET, &is_read_only) != 0)) {
            close(device);
            device = -1;
        }
    }
    close(file);
    if (control >= 0) {
        close(control);
    }
    return device;
}

/* Odd and even ranges on a device. */
static void use_device(enum backend_kind kind, const char *path, size_t len)
{
    uint8_t *model = malloc(len);
    uint8_t *found = malloc(len);
    struct backend *backend = open_backend(kind, path, len, true);
    pattern_fill(model, 0, len, kind);
    assert_int_equal(run_write(backend, 0, model, len), 0);
    for (unsigned int i = 0; i < 40; i++) {
        /* In sectors of the protocol, which need not be those of the device. */
        size_t off = (size_t)random_below(len / 512) * 512;
        size_t part_len = 512 * (1 + (size_t)random_below((len - off) / 512));
        if (i % 4 == 0) {
            assert_int_equal(run_range(backend, BACKEND_WRITE_ZEROES, off, part_len, i % 8 == 0), 0);
            memset(model + off, 0, part_len);
        } else {
            struct scattered scattered;
            scattered_init(&scattered, part_len, 1 + (unsigned int)random_below(64));
            pattern_fill(model + off, off, part_len, i);
            scattered_set(&scattered, model + off);
            assert_int_equal(run_scattered(backend, BACKEND_WRITE, off, part_len, &scattered), 0);
            scattered_release(&scattered);
        }
        assert_int_equal(run_read(backend, 0, found, len), 0);
        assert_memory_equal(found, model, len);
    }
    assert_int_equal(run_range(backend, BACKEND_DISCARD, 512, 1536, false), 0);
    assert_int_equal(run_write(backend, 512, model + 512, 1536), 0);
    assert_int_equal(run_range(backend, BACKEND_FLUSH, 0, 0, false), 0);
    struct backend_extent extent;
    assert_int_equal(backend_extent(backend, 512, &extent), 0);
    assert_true(extent.off == 512 && extent.len > 0 && extent.len <= len - 512);
    assert_int_equal(backend_close(backend, true), 0);

    backend = open_backend(BACKEND_REGULAR, path, len, false);
    assert_int_equal(run_read(backend, 0, found, len), 0);
    assert_memory_equal(found, model, len);
    backend_close(backend, false);
    free(model);
    free(found);
}

static void use_devices(unsigned int sector_len)
{
    char path[PATH_LEN];
    file_create_hole(image, MIB);
    int device = loop_attach(sector_len, path);
    if (device < 0) {
        skip();
    }
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        use_device((enum backend_kind)kind, path, MIB);
    }
    close(device);
}

static void test_a_device_with_small_sectors(void **state UNUSED)
{
    use_devices(512);
}

static void test_a_device_with_large_sectors(void **state UNUSED)
{
    use_devices(4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_device_with_small_sectors),
        cmocka_unit_test(test_a_device_with_large_sectors),
    };
    return cmocka_run_group_tests_name("backends: devices", tests, directories_create, directories_remove);
}
