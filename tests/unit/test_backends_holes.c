/* SPDX-License-Identifier: Apache-2.0 */
/* Extents, zeros and discards, for every kind of backend on files of many lengths. */
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "test_backends_support.h"

/* Walks all extents: gapless, not empty, holes empty indeed (unless `content` is NULL). Returns the bytes in holes. */
static uint64_t walk_extents(struct backend *backend, const uint8_t *content, size_t len)
{
    uint64_t hole_len = 0;
    for (uint64_t off = 0; off < len;) {
        struct backend_extent found = {0};
        assert_int_equal(backend_extent(backend, off, &found), 0);
        assert_int_equal(found.off, off);
        assert_true(found.len > 0 && found.len <= len - off);
        if (found.kind == BACKEND_EXTENT_HOLE) {
            hole_len += found.len;
            for (uint64_t i = off; content != NULL && i < off + found.len; i++) {
                assert_int_equal(content[i], 0);
            }
        }
        off += found.len;
    }
    return hole_len;
}

static void find_holes(enum backend_kind kind, const char *path, size_t len)
{
    uint8_t *content = calloc(1, len + 1);
    file_create_hole(path, len);
    struct backend *backend = try_backend(kind, path, len, true);
    if (backend != NULL) {
        assert_int_equal(walk_extents(backend, content, len), len);
    }
    if (backend != NULL && len > 5) {
        pattern_fill(content + len / 2, len / 2, 5, 1);
        assert_int_equal(run_write(backend, len / 2, content + len / 2, 5), 0);
        uint64_t hole_len = walk_extents(backend, content, len);
        assert_true(hole_len < len);
        assert_true(hole_len > 0 || len < 65536);
    }
    assert_int_equal(backend_close(backend, true), 0);
    if (backend != NULL) {
        backend = open_backend(BACKEND_REGULAR, path, len, false);
        uint64_t hole_len = walk_extents(backend, content, len);
        assert_true(hole_len > 0 || len < 65536);
        backend_close(backend, false);
        assert_file_is(path, content, len);
    }
    free(content);
}

static void test_holes_are_extents(void **state UNUSED)
{
    for_all(find_holes);
}

/* Zeroes or discards the middle of a file, and checks what lies around it. */
static void clear_middle(enum backend_kind kind, const char *path, size_t len, enum backend_operation_kind operation,
                         bool may_unmap)
{
    uint8_t *content = malloc(len + 1);
    uint8_t *found = malloc(len + 1);
    pattern_fill(content, 0, len, 1);
    file_create(path, content, len);
    struct backend *backend = try_backend(kind, path, len, true);
    size_t off = len / 4;
    size_t clear_len = len / 2;
    if (backend != NULL && clear_len > 0) {
        assert_int_equal(run_range(backend, operation, off, clear_len, may_unmap), 0);
        /* Counted before the read, as reading a hole through a mapping makes tmpfs store zeros there. */
        uint64_t hole_len = walk_extents(backend, NULL, len);
        bool shall_unmap = operation == BACKEND_DISCARD || may_unmap;
        assert_true(!shall_unmap || hole_len > 0 || len < 65536);
        assert_int_equal(run_read(backend, 0, found, len), 0);
        if (operation == BACKEND_WRITE_ZEROES) {
            memset(content + off, 0, clear_len);
        } else {
            memcpy(content + off, found + off, clear_len); /* its content may be lost, or not */
        }
        assert_memory_equal(found, content, len);
        walk_extents(backend, content, len);
    }
    assert_int_equal(backend_close(backend, true), 0);
    assert_file_is(path, content, len);
    free(content);
    free(found);
}

static void zero_with_unmap(enum backend_kind kind, const char *path, size_t len)
{
    clear_middle(kind, path, len, BACKEND_WRITE_ZEROES, true);
}

static void zero_in_place(enum backend_kind kind, const char *path, size_t len)
{
    clear_middle(kind, path, len, BACKEND_WRITE_ZEROES, false);
}

static void discard(enum backend_kind kind, const char *path, size_t len)
{
    clear_middle(kind, path, len, BACKEND_DISCARD, false);
}

static void test_write_zeroes_with_unmap(void **state UNUSED)
{
    for_all(zero_with_unmap);
}

static void test_write_zeroes_in_place(void **state UNUSED)
{
    for_all(zero_in_place);
}

static void test_discard(void **state UNUSED)
{
    for_all(discard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes_are_extents),
        cmocka_unit_test(test_write_zeroes_with_unmap),
        cmocka_unit_test(test_write_zeroes_in_place),
        cmocka_unit_test(test_discard),
    };
    return cmocka_run_group_tests_name("backends: holes", tests, directories_create, directories_remove);
}
