/* SPDX-License-Identifier: Apache-2.0 */
/* O_DIRECT: past the page cache, and in agreement with it. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/attributes.h"
#include "test_backends_support.h"

#define TMPFS_MAGIC_NUMBER 0x01021994

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_passes_by_the_page_cache),
        cmocka_unit_test(test_direct_and_its_buffered_ends_agree),
    };
    return cmocka_run_group_tests_name("backends: direct", tests, directories_create, directories_remove);
}
