/* SPDX-License-Identifier: Apache-2.0 */
/* The parsers of VHD and VHDX, and what both share: what they take, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "guest/formats/vhdx/vhdx_header.h"
#include "guest/formats/vhdx/vhdx_log.h"
#include "guest/formats/vhdx/vhdx_region.h"
#include "guest/formats/vpc/vpc_footer.h"
#include "guest/formats/vpc/vpc_header.h"
#include "guest/image/tables/sector_bitmap.h"
#include "guest/image/utf16_name.h"
#include "native.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static struct error error;

static void put_le(uint8_t *bytes, uint64_t value, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static void put_be(uint8_t *bytes, uint64_t value, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
    }
}

/* The CRC-32C of bit after bit, as a second opinion. */
static uint32_t sum_of(const uint8_t *bytes, size_t len)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < 8 * len; i++) {
        uint32_t bit = (bytes[i / 8] >> (i % 8) & 1) ^ (sum & 1);
        sum = sum >> 1 ^ (bit != 0 ? 0x82f63b78u : 0);
    }
    return ~sum;
}

static void put_sum(uint8_t *bytes, size_t len)
{
    put_le(bytes + 4, 0, 4);
    put_le(bytes + 4, sum_of(bytes, len), 4);
}

/* VHD */

static void footer_make(uint8_t bytes[VPC_FOOTER_LEN], const char *creator, uint64_t len)
{
    memset(bytes, 0, VPC_FOOTER_LEN);
    memcpy(bytes, "conectix", 8);
    put_be(bytes + 16, 512, 8);
    memcpy(bytes + 28, creator, 4);
    put_be(bytes + 48, len, 8);
    put_be(bytes + 56, 100, 2); /* cylinders, heads, sectors */
    bytes[58] = 4;
    bytes[59] = 17;
    put_be(bytes + 60, VPC_DYNAMIC, 4);
    bytes[68] = 7;
    put_be(bytes + 64, vpc_checksum((struct span){bytes, VPC_FOOTER_LEN}, 64), 4);
}

static void reads_a_footer_by_its_creator(void **state)
{
    (void)state;
    uint8_t bytes[VPC_FOOTER_LEN];
    struct span span = {bytes, sizeof(bytes)};
    struct vpc_footer footer;
    footer_make(bytes, "win ", 10 * MIB);
    assert_true(vpc_footer_has_cookie(span));
    assert_true(vpc_footer_parse(span, &footer, &error));
    assert_int_equal(footer.virtual_len, 10 * MIB);
    assert_int_equal(footer.header_off, 512);
    assert_int_equal(footer.type, VPC_DYNAMIC);
    assert_int_equal(footer.unique_id[0], 7);
    footer_make(bytes, "vpc ", 10 * MIB); /* by geometry */
    assert_true(vpc_footer_parse(span, &footer, &error));
    assert_int_equal(footer.virtual_len, 100 * 4 * 17 * 512);
}

static void refuses_a_footer(void **state)
{
    (void)state;
    uint8_t bytes[VPC_FOOTER_LEN];
    struct span span = {bytes, sizeof(bytes)};
    struct vpc_footer footer = {.type = 99};
    footer_make(bytes, "win ", 10 * MIB);
    bytes[100] ^= 1; /* the sum */
    assert_false(vpc_footer_parse(span, &footer, &error));
    footer_make(bytes, "win ", 2041ull << 30);
    assert_false(vpc_footer_parse(span, &footer, &error));
    footer_make(bytes, "win ", 2040ull << 30);
    assert_true(vpc_footer_parse(span, &footer, &error));
    footer.type = 99;
    assert_false(vpc_footer_parse((struct span){bytes, 511}, &footer, &error));
    assert_int_equal(footer.type, 99);
    assert_false(vpc_footer_has_cookie((struct span){bytes, 7}));
}

static void header_make(uint8_t bytes[VPC_HEADER_LEN], uint32_t count, uint32_t block_len)
{
    memset(bytes, 0, VPC_HEADER_LEN);
    memcpy(bytes, "cxsparse", 8);
    put_be(bytes + 16, 1536, 8);
    put_be(bytes + 28, count, 4);
    put_be(bytes + 32, block_len, 4);
    memcpy(bytes + 576, "W2ru", 4);
    put_be(bytes + 576 + 8, 40, 4);
    put_be(bytes + 576 + 16, 7 * MIB, 8);
}

static bool header_is_taken(uint32_t count, uint32_t block_len, uint64_t disk_len, struct vpc_header *ret_header)
{
    uint8_t bytes[VPC_HEADER_LEN];
    header_make(bytes, count, block_len);
    return vpc_header_parse((struct span){bytes, sizeof(bytes)}, disk_len, ret_header, &error);
}

static void reads_a_dynamic_header(void **state)
{
    (void)state;
    struct vpc_header header;
    assert_true(header_is_taken(5, 2 * MIB, 10 * MIB, &header));
    assert_int_equal(header.table_off, 1536);
    assert_int_equal(header.bitmap_len, 512);
    assert_int_equal(header.locators[0].data_len, 40);
    assert_int_equal(header.locators[0].data_off, 7 * MIB);
    assert_true(header_is_taken(5, 16 * MIB, 10 * MIB, &header));
    assert_int_equal(header.bitmap_len, 4096);
    assert_true(header_is_taken(2560, 4096, 10 * MIB, &header));
    assert_int_equal(header.bitmap_len, 512);
}

static void refuses_a_dynamic_header(void **state)
{
    (void)state;
    struct vpc_header header;
    assert_false(header_is_taken(5, 2 * MIB, 10 * MIB + 1, &header));
    assert_false(header_is_taken(5, 3 * MIB, 10 * MIB, &header));
    assert_false(header_is_taken(UINT32_MAX, 256, 0, &header));
    assert_false(header_is_taken(0x40000001, 2 * MIB, 10 * MIB, &header));
    assert_false(header_is_taken(0, 0, 0, &header));
}

/* VHDX */

static void vhdx_header_make(uint8_t bytes[VHDX_HEADER_LEN], uint64_t sequence, uint64_t log_off, uint32_t log_len)
{
    memset(bytes, 0, VHDX_HEADER_LEN);
    memcpy(bytes, "head", 4);
    put_le(bytes + 8, sequence, 8);
    memset(bytes + 48, 9, 16);
    put_le(bytes + 66, 1, 2);
    put_le(bytes + 68, log_len, 4);
    put_le(bytes + 72, log_off, 8);
    put_sum(bytes, VHDX_HEADER_LEN);
}

static uint8_t first[VHDX_HEADER_LEN], second[VHDX_HEADER_LEN];

static bool choose(struct vhdx_header *ret_header)
{
    return vhdx_header_choose((struct span){first, sizeof(first)}, (struct span){second, sizeof(second)}, ret_header,
                              &error);
}

static void chooses_the_header_that_counts(void **state)
{
    (void)state;
    struct vhdx_header header;
    vhdx_header_make(first, 5, MIB, MIB);
    vhdx_header_make(second, 6, 2 * MIB, MIB);
    assert_true(choose(&header));
    assert_int_equal(header.sequence, 6);
    assert_int_equal(header.log_off, 2 * MIB);
    second[4000] ^= 1; /* torn */
    assert_true(choose(&header));
    assert_int_equal(header.sequence, 5);
    first[0] ^= 1;
    assert_false(choose(&header));
    vhdx_header_make(first, 6, MIB, MIB);
    vhdx_header_make(second, 6, 2 * MIB, MIB);
    assert_false(choose(&header)); /* both count */
    memcpy(second, first, sizeof(second));
    assert_true(choose(&header));
}

static void refuses_impossible_logs(void **state)
{
    (void)state;
    struct vhdx_header header;
    const uint64_t logs[][2] = {{0, MIB}, {MIB + 512, MIB}, {1ull << 63, MIB}, {MIB, MIB + 4096}};
    for (size_t i = 0; i < ARRAY_COUNT(logs); i++) {
        vhdx_header_make(first, 5, logs[i][0], (uint32_t)logs[i][1]);
        vhdx_header_make(second, 4, MIB, MIB);
        assert_false(choose(&header));
    }
}

static uint8_t regions_bytes[VHDX_REGION_TABLE_LEN];
static const uint8_t table_id[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                     0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t metadata_id[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                        0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};

static void region_put(uint32_t index, const uint8_t id[16], uint64_t off, uint32_t len)
{
    uint8_t *entry = regions_bytes + 16 + 32 * index;
    memcpy(entry, id, 16);
    put_le(entry + 16, off, 8);
    put_le(entry + 24, len, 4);
    put_le(entry + 28, 1, 4);
    put_le(regions_bytes + 8, index + 1, 4);
}

static bool regions_parse(struct vhdx_regions *ret_regions)
{
    put_sum(regions_bytes, sizeof(regions_bytes));
    struct span bytes = {regions_bytes, sizeof(regions_bytes)};
    return vhdx_region_table_is_sound(bytes) &&
           vhdx_region_table_parse(bytes, (struct vhdx_region){MIB, MIB}, ret_regions, &error);
}

static void regions_start(void)
{
    memset(regions_bytes, 0, sizeof(regions_bytes));
    memcpy(regions_bytes, "regi", 4);
}

static void reads_a_region_table(void **state)
{
    (void)state;
    struct vhdx_regions regions;
    regions_start();
    region_put(0, table_id, 3 * MIB, MIB);
    region_put(1, metadata_id, 2 * MIB, MIB);
    assert_true(regions_parse(&regions));
    assert_int_equal(regions.table.off, 3 * MIB);
    assert_int_equal(regions.metadata.off, 2 * MIB);
    regions_bytes[60000] ^= 1;
    assert_false(vhdx_region_table_is_sound((struct span){regions_bytes, sizeof(regions_bytes)}));
}

static void refuses_a_region_table(void **state)
{
    (void)state;
    static const uint8_t unknown_id[16] = {1};
    struct vhdx_regions regions;
    regions_start();
    region_put(0, table_id, 3 * MIB, MIB);
    assert_false(regions_parse(&regions)); /* no metadata */
    region_put(1, metadata_id, 3 * MIB, 2 * MIB);
    assert_false(regions_parse(&regions)); /* over the table */
    region_put(1, metadata_id, MIB, MIB);
    assert_false(regions_parse(&regions)); /* over the log */
    region_put(1, metadata_id, 2 * MIB + 512, MIB);
    assert_false(regions_parse(&regions));
    region_put(1, metadata_id, 1ull << 63, MIB);
    assert_false(regions_parse(&regions));
    region_put(1, metadata_id, 2 * MIB, 0);
    assert_false(regions_parse(&regions));
    region_put(1, table_id, 4 * MIB, MIB);
    assert_false(regions_parse(&regions)); /* twice */
    region_put(1, metadata_id, 2 * MIB, MIB);
    region_put(2, unknown_id, 8 * MIB, MIB);
    assert_false(regions_parse(&regions)); /* required */
    put_le(regions_bytes + 16 + 32 * 2 + 28, 0, 4);
    assert_true(regions_parse(&regions));
    assert_int_equal(regions.other_count, 1);
    assert_int_equal(regions.others_end_off, 9 * MIB);
    assert_true(vhdx_regions_overlap(&regions, (struct vhdx_region){7 * MIB, 2 * MIB}));
    assert_false(vhdx_regions_overlap(&regions, (struct vhdx_region){7 * MIB, MIB}));
    put_le(regions_bytes + 8, UINT32_MAX, 4);
    assert_false(regions_parse(&regions));
}

/* Patches */

static struct vhdx_patch zeros(uint64_t off, uint64_t len)
{
    return (struct vhdx_patch){.off = off, .len = len};
}

static void later_patches_lie_over_earlier_ones(void **state)
{
    (void)state;
    struct vhdx_patch room[16];
    struct vhdx_patches patches = {.patches = room, .count_max = ARRAY_COUNT(room)};
    struct vhdx_patch wide = zeros(40960, 40960);
    struct vhdx_patch data = {.off = 49152, .len = 4096, .is_data = true, .log_off = 5};
    struct vhdx_patch other = {.off = 49152, .len = 4096, .is_data = true, .log_off = 6};
    struct vhdx_patch start = zeros(0, 45056);
    assert_true(vhdx_patches_put(&patches, &wide));
    assert_true(vhdx_patches_put(&patches, &data));
    assert_int_equal(patches.count, 3);
    assert_int_equal(room[0].len, 8192);
    assert_int_equal(room[2].off, 53248);
    assert_true(vhdx_patches_put(&patches, &other));
    assert_int_equal(patches.count, 3);
    assert_int_equal(vhdx_patches_find(&patches, 50000)->log_off, 6);
    assert_true(vhdx_patches_put(&patches, &start));
    assert_int_equal(vhdx_patches_find(&patches, 0)->len, 45056);
    assert_int_equal(vhdx_patches_find(&patches, 45056)->off, 45056);
    assert_null(vhdx_patches_find(&patches, 81920));
    assert_int_equal(patches.count, 4);
}

static void patches_have_bounded_room(void **state)
{
    (void)state;
    struct vhdx_patch room[3];
    struct vhdx_patches patches = {.patches = room, .count_max = vhdx_patches_room(1)};
    struct vhdx_patch wide = zeros(0, 1 << 20), inner = zeros(8192, 4096), more = zeros(40960, 4096);
    assert_true(vhdx_patches_put(&patches, &wide));
    assert_true(vhdx_patches_put(&patches, &inner));
    assert_false(vhdx_patches_put(&patches, &more));
    assert_int_equal(patches.count, 3);
}

/* The log, in a file of its own */

static uint8_t file_bytes[3 * MIB];
static struct vhdx_header log_header = {.log_off = MIB, .log_len = MIB};

static void entry_put(uint32_t at, uint64_t sequence, uint32_t descriptor_count, uint64_t zero_off, uint64_t zero_len)
{
    uint8_t *entry = file_bytes + MIB + at;
    memset(entry, 0, 4096);
    memcpy(entry, "loge", 4);
    put_le(entry + 8, 4096, 4);
    put_le(entry + 12, at, 4);
    put_le(entry + 16, sequence, 8);
    put_le(entry + 24, descriptor_count, 4);
    memset(entry + 32, 9, 16);
    put_le(entry + 48, sizeof(file_bytes), 8);
    put_le(entry + 56, sizeof(file_bytes), 8);
    memcpy(entry + 64, "zero", 4);
    put_le(entry + 72, zero_len, 8);
    put_le(entry + 80, zero_off, 8);
    put_le(entry + 88, sequence, 8);
    put_sum(entry, 4096);
}

static bool log_read(bool *ret_is_needed, struct vhdx_patches *ret_patches)
{
    native_start(&(struct native_setup){0});
    struct image image = {.environment = native_environment(),
                          .file = native_file_of_bytes(file_bytes, sizeof(file_bytes), sizeof(file_bytes))};
    static struct vhdx_patch kept[8];
    error = (struct error){0};
    bool success = vhdx_log_read(&image, &log_header, ret_is_needed, ret_patches, &error);
    if (success && *ret_is_needed) {
        assert_true(ret_patches->count <= ARRAY_COUNT(kept));
        memcpy(kept, ret_patches->patches, ret_patches->count * sizeof(kept[0]));
        ret_patches->patches = kept;
    }
    native_stop();
    return success;
}

static void reads_a_log(void **state)
{
    (void)state;
    bool is_needed = true;
    struct vhdx_patches patches;
    memset(file_bytes, 0, sizeof(file_bytes));
    memset(log_header.log_id.bytes, 0, 16);
    assert_true(log_read(&is_needed, &patches)); /* no log */
    assert_false(is_needed);
    memset(log_header.log_id.bytes, 9, 16);
    entry_put(8192, 3, 1, 2 * MIB, 8192);
    assert_true(log_read(&is_needed, &patches));
    assert_true(is_needed);
    assert_int_equal(patches.count, 1);
    assert_int_equal(patches.patches[0].off, 2 * MIB);
    assert_int_equal(patches.patches[0].len, 8192);
    entry_put(65536, 9, 1, 2 * MIB + 4096, 4096); /* a later one, that counts alone */
    assert_true(log_read(&is_needed, &patches));
    assert_int_equal(patches.count, 1);
    assert_int_equal(patches.patches[0].off, 2 * MIB + 4096);
}

static void refuses_a_log(void **state)
{
    (void)state;
    bool is_needed;
    struct vhdx_patches patches;
    memset(file_bytes, 0, sizeof(file_bytes));
    memset(log_header.log_id.bytes, 9, 16);
    entry_put(0, 3, UINT32_MAX, 2 * MIB, 4096); /* a count whose product wraps */
    assert_false(log_read(&is_needed, &patches));
    entry_put(0, 3, 0x08000000, 2 * MIB, 4096);
    assert_false(log_read(&is_needed, &patches));
    entry_put(0, 3, 1, 2 * MIB + 512, 4096);
    assert_false(log_read(&is_needed, &patches));
    entry_put(0, 3, 1, UINT64_MAX - 4095, 8192);
    assert_false(log_read(&is_needed, &patches));
    entry_put(0, 0, 1, 2 * MIB, 4096);
    assert_false(log_read(&is_needed, &patches));
}

/* Names and bitmaps */

static bool name_is(const uint16_t *units, size_t count, enum utf16_order order, const char *wanted)
{
    uint8_t bytes[2200];
    struct file_name name = {.len = 1};
    for (size_t i = 0; i < count; i++) {
        if (order == UTF16_LITTLE_ENDIAN) {
            put_le(bytes + 2 * i, units[i], 2);
        } else {
            put_be(bytes + 2 * i, units[i], 2);
        }
    }
    if (!utf16_name_read((struct span){bytes, 2 * count}, order, &name)) {
        assert_int_equal(name.len, 1);
        return wanted == NULL;
    }
    return wanted != NULL && name.len == strlen(wanted) && memcmp(name.bytes, wanted, name.len) == 0;
}

static void reads_names(void **state)
{
    (void)state;
    static const uint16_t plain[] = {'.', '\\', 'a', 0xe4, 0x20ac, 0xd83d, 0xde00, 0, 'x'};
    static const uint16_t drive[] = {'C', ':', '\\', 'a'}, server[] = {'\\', '\\', 'h', '\\', 'a'};
    static const uint16_t high[] = {'a', 0xd83d}, low[] = {'a', 0xde00, 'b'}, pair[] = {0xd83d, 'a'},
                          empty[] = {0, 'a'};
    static const char wanted[] = "./a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    static uint16_t long_name[1100];
    for (int order = UTF16_LITTLE_ENDIAN; order <= UTF16_BIG_ENDIAN; order++) {
        assert_true(name_is(plain, ARRAY_COUNT(plain), order, wanted));
        assert_true(name_is(drive, ARRAY_COUNT(drive), order, NULL));
        assert_true(name_is(server, ARRAY_COUNT(server), order, NULL));
        assert_true(name_is(high, ARRAY_COUNT(high), order, NULL));
        assert_true(name_is(low, ARRAY_COUNT(low), order, NULL));
        assert_true(name_is(pair, ARRAY_COUNT(pair), order, NULL));
        assert_true(name_is(empty, ARRAY_COUNT(empty), order, NULL));
        assert_true(name_is(plain, 0, order, NULL));
    }
    for (size_t i = 0; i < ARRAY_COUNT(long_name); i++) {
        long_name[i] = 'a';
    }
    assert_true(name_is(long_name, ARRAY_COUNT(long_name), UTF16_LITTLE_ENDIAN, NULL));
}

static void finds_runs_of_bits(void **state)
{
    (void)state;
    static const enum sector_bitmap_order orders[] = {SECTOR_BITMAP_HIGH_FIRST, SECTOR_BITMAP_LOW_FIRST};
    memset(file_bytes, 0, 4096);
    memset(file_bytes + 100, 0xff, 50);
    file_bytes[150] = 0xa5; /* the same from both ends: 1010 0101 */
    native_start(&(struct native_setup){0});
    struct file *file = native_file_of_bytes(file_bytes, 4096, 4096);
    for (size_t order = 0; order < ARRAY_COUNT(orders); order++) {
        for (uint64_t index = 0; index < 500; index++) {
            bool is_set = false;
            uint64_t count = 0;
            assert_true(sector_bitmap_run(native_environment()->cache, file, 96, orders[order], index, 500 - index,
                                          &is_set, &count, &error));
            assert_true(count >= 1 && count <= 500 - index);
            for (uint64_t bit = index; bit < index + count; bit++) {
                uint64_t shift = orders[order] == SECTOR_BITMAP_LOW_FIRST ? bit % 8 : 7 - bit % 8;
                assert_int_equal(file_bytes[96 + bit / 8] >> shift & 1, is_set);
            }
            assert_true(index + count == 500 || count > 0);
        }
    }
    native_stop();
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_a_footer_by_its_creator),
        TEST(refuses_a_footer),
        TEST(reads_a_dynamic_header),
        TEST(refuses_a_dynamic_header),
        TEST(chooses_the_header_that_counts),
        TEST(refuses_impossible_logs),
        TEST(reads_a_region_table),
        TEST(refuses_a_region_table),
        TEST(later_patches_lie_over_earlier_ones),
        TEST(patches_have_bounded_room),
        TEST(reads_a_log),
        TEST(refuses_a_log),
        TEST(reads_names),
        TEST(finds_runs_of_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
