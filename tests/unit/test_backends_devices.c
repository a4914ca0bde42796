/* SPDX-License-Identifier: Apache-2.0 */
/* Backends on block devices, and the page cache that direct passes by. Loop devices need root: skipped without. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/attributes.h"
#include "test_backends_support.h"

#define MIB (1024u * 1024u)
#define TMPFS_MAGIC_NUMBER 0x01021994

static char directory[PATH_LEN];
static char image[PATH_LEN + 16];

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
        if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config) != 0) {
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

static size_t cached_page_count(const char *path, size_t len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *mapping = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(mapping, MAP_FAILED);
    size_t page_count = (len + 4095) / 4096;
    unsigned char *is_cached = calloc(1, page_count);
    assert_int_equal(mincore(mapping, len, is_cached), 0);
    size_t cached_count = 0;
    for (size_t i = 0; i < page_count; i++) {
        cached_count += is_cached[i] & 1;
    }
    free(is_cached);
    munmap(mapping, len);
    close(fd);
    return cached_count;
}

/* tmpfs accepts O_DIRECT, but is the page cache. */
static bool is_on_tmpfs(const char *path)
{
    struct statfs status;
    assert_int_equal(statfs(path, &status), 0);
    return status.f_type == TMPFS_MAGIC_NUMBER;
}

static void test_direct_passes_by_the_page_cache(void **state UNUSED)
{
    size_t len = 4 * MIB + 100;
    uint8_t *content = malloc(len);
    uint8_t *found = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create_hole(image, len);
    struct backend *backend = try_backend(BACKEND_DIRECT, image, len, true);
    if (backend == NULL || is_on_tmpfs(image)) {
        backend_close(backend, false);
        skip();
    }
    /* From memory with and without alignment. */
    assert_int_equal(run_write(backend, 0, content, len), 0);
    assert_int_equal(run_read(backend, 0, found, len), 0);
    assert_memory_equal(found, content, len);
    uint8_t *aligned = aligned_alloc(4096, 4 * MIB);
    assert_int_equal(run_read(backend, 0, aligned, 4 * MIB), 0);
    assert_memory_equal(aligned, content, 4 * MIB);
    assert_int_equal(run_write(backend, 0, aligned, 4 * MIB), 0);
    assert_true(cached_page_count(image, len) <= 4);
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(image, content, len);
    free(aligned);
    free(content);
    free(found);
}

/* What went through the page cache at one end of a block must be seen past it, and the reverse. */
static void test_direct_and_its_buffered_ends_agree(void **state UNUSED)
{
    size_t len = 3 * 4096;
    uint8_t *content = aligned_alloc(4096, len);
    uint8_t *found = aligned_alloc(4096, len);
    pattern_fill(content, 0, len, 1);
    file_create(image, content, len);
    struct backend *backend = try_backend(BACKEND_DIRECT, image, len, true);
    if (backend == NULL) {
        skip();
    }
    for (unsigned int i = 0; i < 200; i++) {
        size_t off = (size_t)random_below(len);
        size_t part_len = 1 + (size_t)random_below(len - off);
        pattern_fill(content + off, off, part_len, i);
        assert_int_equal(run_write(backend, off, content + off, part_len), 0);
        assert_int_equal(run_read(backend, 0, found, len), 0);
        assert_memory_equal(found, content, len);
        pattern_fill(content, 0, len, i + 1000);
        assert_int_equal(run_write(backend, 0, content, len), 0);
        assert_int_equal(run_read(backend, off, found + off, part_len), 0);
        assert_memory_equal(found + off, content + off, part_len);
    }
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(image, content, len);
    free(content);
    free(found);
}

static int set_up(void **state UNUSED)
{
    directory_create(NULL, directory);
    snprintf(image, sizeof(image), "%s/image", directory);
    return 0;
}

static int tear_down(void **state UNUSED)
{
    unlink(image);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_device_with_small_sectors),
        cmocka_unit_test(test_a_device_with_large_sectors),
        cmocka_unit_test(test_direct_passes_by_the_page_cache),
        cmocka_unit_test(test_direct_and_its_buffered_ends_agree),
    };
    return cmocka_run_group_tests_name("backends on devices", tests, set_up, tear_down);
}
