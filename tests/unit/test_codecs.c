/* SPDX-License-Identifier: Apache-2.0 */
/* Deflate and zstd: streams by other programs (zlib's, zstd's own compressor), whole, with junk behind them, damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "guest/codecs/deflate.h"
#include "guest/codecs/zstd.h"

#define CLUSTER_LEN 65536u
#define STREAM_LEN (2 * CLUSTER_LEN)

static uint8_t content[CLUSTER_LEN];
static uint8_t stream[STREAM_LEN];

typedef bool expand_function(struct span stream, uint8_t *target, size_t target_len, void *scratch);
typedef size_t compress_function(const uint8_t *bytes, size_t len, uint8_t *target);

/* As qemu-img does it: a window of 4 KiB, no heads. */
static size_t compress_deflate(const uint8_t *bytes, size_t len, uint8_t *target)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)len};
    assert_int_equal(deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = target;
    z.avail_out = STREAM_LEN;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t made = STREAM_LEN - z.avail_out;
    deflateEnd(&z);
    return made;
}

static size_t compress_zstd(const uint8_t *bytes, size_t len, uint8_t *target)
{
    size_t made = ZSTD_compress(target, STREAM_LEN, bytes, len, 3);
    assert_false(ZSTD_isError(made));
    return made;
}

static const struct {
    expand_function *expand;
    compress_function *compress;
    size_t scratch_len;
} codecs[] = {
    {deflate_expand, compress_deflate, DEFLATE_SCRATCH_LEN},
    {zstd_expand, compress_zstd, ZSTD_SCRATCH_LEN},
};

static int set_up(void **state)
{
    (void)state;
    srand(3);
    for (size_t i = 0; i < sizeof(content); i++) {
        content[i] = (uint8_t)(rand() % 3 == 0 ? rand() : 'a');
    }
    return 0;
}

/* Memory of exact lengths, so that sanitizers see what is beyond. */
static bool expand(size_t codec, size_t stream_len, size_t target_len)
{
    uint8_t *source = malloc(stream_len > 0 ? stream_len : 1);
    uint8_t *target = malloc(target_len);
    void *scratch = malloc(codecs[codec].scratch_len);
    memcpy(source, stream, stream_len);
    memset(scratch, 0xa5, codecs[codec].scratch_len);
    bool is_good = codecs[codec].expand((struct span){source, stream_len}, target, target_len, scratch) &&
                   (target_len > sizeof(content) || memcmp(target, content, target_len) == 0);
    free(scratch);
    free(target);
    free(source);
    return is_good;
}

static void whole_streams_are_expanded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++) {
        for (size_t len = 512; len <= sizeof(content); len *= 2) {
            size_t stream_len = codecs[i].compress(content, len, stream);
            assert_true(expand(i, stream_len, len));
        }
    }
}

static void junk_behind_a_stream_is_left_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++) {
        size_t stream_len = codecs[i].compress(content, sizeof(content), stream);
        for (size_t junk = 0; junk < 512; junk++) {
            stream[stream_len + junk] = (uint8_t)rand();
        }
        for (size_t junk_len = 0; junk_len <= 512; junk_len += 64) {
            assert_true(expand(i, stream_len + junk_len, sizeof(content)));
        }
    }
}

static void other_lengths_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++) {
        size_t stream_len = codecs[i].compress(content, 4096, stream);
        assert_false(expand(i, stream_len, 4095));
        assert_false(expand(i, stream_len, 4097));
        assert_false(expand(i, 0, 4096));
        assert_false(expand(i, stream_len / 2, 4096));
    }
}

static void several_zstd_frames_are_one_cluster(void **state)
{
    (void)state;
    size_t first_len = compress_zstd(content, 10000, stream);
    size_t second_len = ZSTD_compress(stream + first_len, STREAM_LEN - first_len, content + 10000, 20000, 3);
    assert_true(expand(1, first_len + second_len, 30000));
}

static void damage_is_contained(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(codecs); i++) {
        size_t stream_len = codecs[i].compress(content, 4096, stream);
        uint8_t good[STREAM_LEN];
        memcpy(good, stream, stream_len);
        for (uint32_t round = 0; round < 20000; round++) {
            memcpy(stream, good, stream_len);
            for (int count = rand() % 4; count >= 0; count--) {
                stream[(size_t)rand() % stream_len] = (uint8_t)rand();
            }
            (void)expand(i, stream_len, 4096); /* whatever it says: sanitizers watch */
        }
    }
}

/* A reader with a window of 4 KiB that takes what comes out a kilobyte at a time. */
static void check_small_steps(struct span made)
{
    uint8_t step[1024];
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)made.data, .avail_in = (uInt)made.len};
    assert_int_equal(inflateInit2(&z, -12), Z_OK);
    size_t done_len = 0;
    int status = Z_OK;
    while (status == Z_OK) {
        z.next_out = step;
        z.avail_out = sizeof(step);
        status = inflate(&z, Z_NO_FLUSH);
        size_t len = sizeof(step) - z.avail_out;
        assert_true(done_len + len <= CLUSTER_LEN);
        assert_memory_equal(step, content + done_len, len);
        done_len += len;
    }
    assert_int_equal(status, Z_STREAM_END);
    assert_int_equal(done_len, CLUSTER_LEN);
    inflateEnd(&z);
}

static void small_windows_are_enough_for_small_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLUSTER_LEN; i++) {
        content[i] = (uint8_t)((i * i >> 7) % 61); /* repeats, near and far */
    }
    for (int level = DEFLATE_LEVEL_MIN; level <= DEFLATE_LEVEL_MAX; level++) {
        const struct deflate_choice choice = {.level = level, .small_window = true};
        void *scratch = calloc(1, deflate_compress_scratch_len(&choice));
        assert_non_null(scratch);
        for (uint32_t round = 0; round < 2; round++) { /* the second one finds what the first one made */
            size_t len =
                deflate_compress(&choice, (struct span){content, CLUSTER_LEN}, stream, CLUSTER_LEN - 1, scratch);
            assert_true(len < CLUSTER_LEN);
            if (level > DEFLATE_LEVEL_MIN) {
                check_small_steps((struct span){stream, len});
            } else {
                assert_int_equal(len, 0); /* nothing gets shorter */
            }
        }
        free(scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_windows_are_enough_for_small_steps), cmocka_unit_test(whole_streams_are_expanded),
        cmocka_unit_test(junk_behind_a_stream_is_left_alone),       cmocka_unit_test(other_lengths_are_refused),
        cmocka_unit_test(several_zstd_frames_are_one_cluster),      cmocka_unit_test(damage_is_contained),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
