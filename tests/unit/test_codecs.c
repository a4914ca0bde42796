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
        for (uint32_t round = 0; round < 2000; round++) {
            memcpy(stream, good, stream_len);
            for (int count = rand() % 4; count >= 0; count--) {
                stream[(size_t)rand() % stream_len] = (uint8_t)rand();
            }
            (void)expand(i, stream_len, 4096); /* whatever it says: sanitizers watch */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_streams_are_expanded), cmocka_unit_test(junk_behind_a_stream_is_left_alone),
        cmocka_unit_test(other_lengths_are_refused),  cmocka_unit_test(several_zstd_frames_are_one_cluster),
        cmocka_unit_test(damage_is_contained),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
