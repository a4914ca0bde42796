/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams for small windows: each is read by zlib with a window of 4 KiB, which gets the stream and gives the bytes in
 * small pieces. The contents are what an encoder may get wrong: few and many different bytes, skewed frequencies (long
 * words), runs, repeats at each distance around the window's end, changes of kind within a cluster.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "guest/codecs/deflate.h"
#include "guest/codecs/deflate_encode.h"
#include "guest/codecs/huffman.h"

#define CONTENT_LEN (2u << 20)

static uint8_t content[CONTENT_LEN];
static uint8_t stream[CONTENT_LEN + 4096];
static uint8_t expanded[CONTENT_LEN];
static uint32_t seed;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)seed * limit >> 32);
}

typedef void fill_function(uint8_t *bytes, size_t len);

static void fill_zeros(uint8_t *bytes, size_t len)
{
    memset(bytes, 0, len);
}

static void fill_random(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)random_below(256);
    }
}

/* Each value half as often as the one before: words up to the limit of 15 bits. */
static void fill_skewed(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint32_t bits = random_below(1u << 24);
        bytes[i] = (uint8_t)(bits == 0 ? 255 : __builtin_ctz(bits) * 7 + (i % 3));
    }
}

static void fill_words(uint8_t *bytes, size_t len)
{
    static const char *const words[] = {"window", "distance ", "of", " the ", "length", "\n", "bits, ", "x", "zz"};
    for (size_t i = 0; i < len;) {
        const char *word = words[random_below(9)];
        size_t word_len = strlen(word);
        word_len = word_len < len - i ? word_len : len - i;
        memcpy(bytes + i, word, word_len);
        i += word_len;
    }
}

/* Copies of what came before, also at distances around the window's end, of all lengths. */
static void fill_copies(uint8_t *bytes, size_t len)
{
    static const uint32_t distances[] = {1, 2, 3, 4, 255, 256, 1023, 1024, 1025, 3833, 3834, 4095, 4096, 4097, 8192};
    for (size_t i = 0; i < len;) {
        size_t distance = random_below(2) == 0 ? distances[random_below(15)] : 1 + random_below(5000);
        size_t copy_len = random_below(3) == 0 ? 1 + random_below(600) : 2 + random_below(12);
        for (; copy_len > 0 && i < len; copy_len--, i++) {
            bytes[i] = distance <= i ? bytes[i - distance] : (uint8_t)random_below(256);
        }
        if (i < len && random_below(2) == 0) {
            bytes[i++] = (uint8_t)random_below(256);
        }
    }
}

/* Records of one shape. */
static void fill_records(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i % 24 < 4 ? i / 24 >> 8 * (i % 4) : i % 24 < 6 ? random_below(256) : 0);
    }
}

static fill_function *const simple_fills[] = {fill_zeros, fill_random, fill_skewed,
                                              fill_words, fill_copies, fill_records};
#define SIMPLE_FILLS 6u

/* One kind after the other: blocks end between them. */
static void fill_mixed(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t part = 1 + random_below(30000);
        part = part < len - i ? part : len - i;
        simple_fills[random_below(SIMPLE_FILLS)](bytes + i, part);
        i += part;
    }
}

/* A reader with a window of 4 KiB that gets and gives some bytes at a time. */
static void check_stream(size_t stream_len, size_t len, uint32_t in_step, uint32_t out_step)
{
    z_stream z = {0};
    size_t in_len = 0;
    size_t out_len = 0;
    uint8_t *step = malloc(out_step); /* nothing of what it gave before is still there */
    assert_int_equal(inflateInit2(&z, -12), Z_OK);
    int status = Z_OK;
    while (status == Z_OK) {
        if (z.avail_in == 0) {
            z.next_in = stream + in_len;
            z.avail_in = (uInt)(in_step < stream_len - in_len ? in_step : stream_len - in_len);
            in_len += z.avail_in;
        }
        z.next_out = step;
        z.avail_out = out_step;
        status = inflate(&z, Z_NO_FLUSH);
        size_t step_len = out_step - z.avail_out;
        assert_true(out_len + step_len <= len);
        assert_memory_equal(step, content + out_len, step_len);
        out_len += step_len;
    }
    assert_int_equal(status, Z_STREAM_END);
    assert_int_equal(out_len, len);
    assert_int_equal(in_len - z.avail_in, stream_len);
    inflateEnd(&z);
    free(step);
}

/* Memory of exact lengths, so that sanitizers see what is beyond. */
static size_t encode(int level, size_t len, size_t target_len, void *scratch)
{
    uint8_t *source = malloc(len > 0 ? len : 1);
    uint8_t *target = malloc(target_len > 0 ? target_len : 1);
    memcpy(source, content, len);
    size_t stream_len = deflate_encode(level, (struct span){source, len}, target, target_len, scratch);
    assert_true(stream_len <= target_len);
    memcpy(stream, target, stream_len);
    free(target);
    free(source);
    return stream_len;
}

static void round_trip(int level, size_t len, void *scratch)
{
    size_t stream_len = encode(level, len, len + len / 1000 + 64, scratch);
    assert_true(stream_len > 0); /* what does not get shorter is stored */
    check_stream(stream_len, len, 1 + random_below(700), 1 + random_below(3000));
    if (len > 0) {
        uint8_t memory[DEFLATE_SCRATCH_LEN];
        assert_true(deflate_expand((struct span){stream, stream_len}, expanded, len, memory));
        assert_memory_equal(expanded, content, len);
        /* Without room for all of it, nothing; and with just that, the same. */
        assert_int_equal(encode(level, len, stream_len - 1, scratch), 0);
        assert_int_equal(encode(level, len, stream_len, scratch), stream_len);
    }
}

static void *scratch_make(void)
{
    void *scratch = malloc(deflate_encode_scratch_len());
    assert_non_null(scratch);
    memset(scratch, 0xa5, deflate_encode_scratch_len());
    return scratch;
}

static void each_content_at_each_level(void **state)
{
    (void)state;
    void *scratch = scratch_make();
    for (int level = DEFLATE_ENCODE_LEVEL_MIN; level <= DEFLATE_ENCODE_LEVEL_MAX; level++) {
        for (uint32_t i = 0; i <= SIMPLE_FILLS; i++) {
            seed = (uint32_t)level * 100 + i;
            (i < SIMPLE_FILLS ? simple_fills[i] : fill_mixed)(content, 65536);
            round_trip(level, 65536, scratch);
        }
    }
    free(scratch);
}

static void each_length(void **state)
{
    (void)state;
    void *scratch = scratch_make();
    for (uint32_t len = 0; len < 700; len++) {
        seed = len;
        fill_mixed(content, len);
        round_trip(1 + (int)(len % DEFLATE_ENCODE_LEVEL_MAX), len, scratch);
        fill_zeros(content, len);
        round_trip(1 + (int)(len % DEFLATE_ENCODE_LEVEL_MAX), len, scratch);
    }
    free(scratch);
}

static void clusters_of_all_sizes(void **state)
{
    (void)state;
    void *scratch = scratch_make();
    for (uint32_t len = 512; len <= CONTENT_LEN; len *= 2) {
        seed = len;
        fill_mixed(content, len);
        round_trip(4, len, scratch);
        fill_copies(content, len);
        round_trip(5, len, scratch);
    }
    fill_random(content, CONTENT_LEN); /* stored blocks only, several of them */
    round_trip(4, CONTENT_LEN, scratch);
    fill_zeros(content, CONTENT_LEN);
    round_trip(4, CONTENT_LEN, scratch);
    free(scratch);
}

static void random_contents(void **state)
{
    (void)state;
    void *scratch = scratch_make();
    for (uint32_t round = 0; round < 400; round++) {
        seed = round * 7919;
        size_t len = 1 + random_below(random_below(2) == 0 ? 3000 : 100000);
        fill_mixed(content, len);
        round_trip(1 + (int)random_below(DEFLATE_ENCODE_LEVEL_MAX), len, scratch);
    }
    free(scratch);
}

/* Whatever the scratch memory held, the stream is the same: it does not depend on which vCPU makes it. */
static void streams_depend_on_nothing_else(void **state)
{
    (void)state;
    void *scratch = scratch_make();
    void *other = calloc(1, deflate_encode_scratch_len());
    static uint8_t first[65536 + 4096];
    for (int level = DEFLATE_ENCODE_LEVEL_MIN; level <= DEFLATE_ENCODE_LEVEL_MAX; level++) {
        seed = (uint32_t)level;
        fill_copies(content, 65536);
        size_t len = encode(level, 65536, 65536, other);
        memcpy(first, stream, len);
        fill_words(expanded, 65536);
        (void)deflate_encode(level, (struct span){expanded, 65536}, stream, 65536, scratch);
        assert_int_equal(encode(level, 65536, 65536, scratch), len);
        assert_memory_equal(stream, first, len);
    }
    free(other);
    free(scratch);
}

/* As the image layer calls it. */
static void small_windows_are_the_default(void **state)
{
    (void)state;
    for (int level = DEFLATE_LEVEL_MIN; level <= DEFLATE_LEVEL_MAX; level++) {
        const struct deflate_choice choice = {.level = level};
        void *scratch = calloc(1, deflate_compress_scratch_len(&choice, 65536));
        seed = 5;
        fill_words(content, 65536);
        for (uint32_t round = 0; round < 2; round++) { /* the second one finds what the first one left */
            size_t len;
            assert_true(deflate_compress(&choice, (struct span){content, 65536}, stream, 65535, scratch, &len));
            if (level > DEFLATE_LEVEL_MIN) {
                check_stream(len, 65536, 512, 1024);
            } else {
                assert_int_equal(len, 0); /* nothing gets shorter */
            }
        }
        free(scratch);
    }
}

/* Kraft's sum is one, no word is too long, and more frequent symbols have no longer words. */
static void codes_are_complete(void **state)
{
    (void)state;
    uint32_t frequencies[HUFFMAN_SYMBOLS_MAX];
    uint8_t lens[HUFFMAN_SYMBOLS_MAX];
    uint16_t words[HUFFMAN_SYMBOLS_MAX];
    for (uint32_t round = 0; round < 5000; round++) {
        seed = round;
        uint32_t count = 2 + random_below(HUFFMAN_SYMBOLS_MAX - 1);
        uint32_t len_max = count <= 19 && random_below(2) == 0 ? 7 : HUFFMAN_LEN_MAX;
        for (uint32_t i = 0; i < count; i++) {
            frequencies[i] = random_below(3) == 0 ? 0 : 1 + random_below(1u << random_below(22));
        }
        if (round % 7 == 0) { /* Fibonacci's numbers make the deepest trees */
            for (uint32_t i = 0; i < count; i++) {
                frequencies[i] = i < 2 ? 1 : i < 30 ? frequencies[i - 1] + frequencies[i - 2] : 0;
            }
        }
        huffman_make(frequencies, count, len_max, lens, words);
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            assert_true(lens[i] <= len_max);
            assert_true(frequencies[i] == 0 || lens[i] > 0);
            sum += lens[i] == 0 ? 0 : 1ull << (len_max - lens[i]);
            uint32_t j = random_below(count);
            assert_true(frequencies[i] == 0 || frequencies[j] <= frequencies[i] || lens[j] <= lens[i]);
        }
        assert_int_equal(sum, 1ull << len_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_complete),
        cmocka_unit_test(each_content_at_each_level),
        cmocka_unit_test(each_length),
        cmocka_unit_test(clusters_of_all_sizes),
        cmocka_unit_test(random_contents),
        cmocka_unit_test(streams_depend_on_nothing_else),
        cmocka_unit_test(small_windows_are_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
