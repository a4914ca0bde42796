/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the backends share: files with known content, random vectors, operations run to their end. */
#ifndef INSTAR_TESTS_UNIT_TEST_BACKENDS_SUPPORT_H
#define INSTAR_TESTS_UNIT_TEST_BACKENDS_SUPPORT_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/backends/backend.h"

#define KIND_COUNT 5u
#define PATH_LEN 256u

#define MIB (1024u * 1024u)

/* A directory on a disk, or where TMPDIR says, and names for an image there and for one on tmpfs. */
extern char directory[PATH_LEN];
extern char image[PATH_LEN];
extern char memory_image[PATH_LEN];

/* Set-up and tear-down of a group of tests: create these directories, remove them with the two images. */
int directories_create(void **state);
int directories_remove(void **state);

/* The next of a fixed sequence of random numbers, and one below `limit`. */
uint64_t random_next(void);
uint64_t random_below(uint64_t limit);

/* A range within len (> 0), often a small one, a block-aligned one or one that touches an end. */
void random_range(size_t len, size_t *ret_off, size_t *ret_len);

/* Runs a case for every kind and for many lengths of files, with both images' names. */
typedef void case_function(enum backend_kind kind, const char *path, size_t len);
void for_all(case_function *one);

/* Fills bytes with what `seed` gives for their offsets. */
void pattern_fill(uint8_t *bytes, uint64_t off, size_t len, uint64_t seed);

/* Creates a file of exactly these bytes, written through, or one of `len` bytes that is one hole. */
void file_create(const char *path, const uint8_t *bytes, size_t len);
void file_create_hole(const char *path, uint64_t len);
uint64_t file_len(const char *path);
void assert_file_is(const char *path, const uint8_t *bytes, size_t len);

struct backend *open_backend(enum backend_kind kind, const char *path, uint64_t len, bool writable);
/* NULL where the file's own file system knows no O_DIRECT; any other failure fails the test. */
struct backend *try_backend(enum backend_kind kind, const char *path, uint64_t len, bool writable);

/* Runs an operation to its end and returns its result. */
int run(struct backend *backend, struct backend_operation *operation);
int run_read(struct backend *backend, uint64_t off, void *bytes, size_t len);
int run_write(struct backend *backend, uint64_t off, const void *bytes, size_t len);
int run_range(struct backend *backend, enum backend_operation_kind kind, uint64_t off, uint64_t len, bool may_unmap);

/* Random vectors of any alignment over a buffer that is watched: nothing but the vectors may change in it. */
struct scattered {
    struct iovec iov[BACKEND_IOV_MAX];
    unsigned int iov_count;
    uint8_t *buffer;
    size_t buffer_len;
};

void scattered_init(struct scattered *scattered, size_t len, unsigned int iov_count_max);
void scattered_set(struct scattered *scattered, const uint8_t *bytes);
/* Checks the vectors' content, and the bytes between them. */
void scattered_assert_is(const struct scattered *scattered, const uint8_t *bytes);
void scattered_release(struct scattered *scattered);
int run_scattered(struct backend *backend, enum backend_operation_kind kind, uint64_t off, uint64_t len,
                  const struct scattered *scattered);

#endif
