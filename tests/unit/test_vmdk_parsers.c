/* SPDX-License-Identifier: Apache-2.0 */
/* The parsers of VMDK: what they take, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attributes.h"
#include "guest/formats/vmdk/vmdk_cowd_header.h"
#include "guest/formats/vmdk/vmdk_descriptor.h"
#include "guest/formats/vmdk/vmdk_grain.h"
#include "guest/formats/vmdk/vmdk_sesparse_header.h"
#include "guest/formats/vmdk/vmdk_sparse_header.h"

static struct error error;

static struct span text_of(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

static bool is_text(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.data, text, span.len) == 0;
}

/* The first extent of a text; false when there is none, or an error. */
static bool first_extent(const char *text, struct vmdk_extent_line *ret_line)
{
    size_t pos = 0;
    bool found = false;
    error = (struct error){0};
    return vmdk_descriptor_next_extent(text_of(text), &pos, &found, ret_line, &error) && found;
}

static void reads_extent_lines(void **state)
{
    (void)state;
    struct vmdk_extent_line line;
    assert_true(first_extent("# comment\nRW 10 FLAT \"a b.vmdk\" 3\n", &line));
    assert_int_equal(line.type, VMDK_EXTENT_FLAT);
    assert_int_equal(line.sectors, 10);
    assert_int_equal(line.flat_off, 3 * 512);
    assert_true(is_text(line.name, "a b.vmdk"));
    assert_true(first_extent("\n\n  RDONLY\t7 SPARSE \"x\"\r\n", &line));
    assert_int_equal(line.type, VMDK_EXTENT_SPARSE);
    assert_true(line.has_access);
    assert_true(first_extent("RW 7 VMFS \"x\"", &line));
    assert_int_equal(line.flat_off, 0);
    assert_true(first_extent("NOACCESS 9 ZERO", &line));
    assert_false(line.has_access);
    assert_true(first_extent("RW 9 SESPARSE \"x\"", &line));
    assert_true(first_extent("RW 9 VMFSSPARSE \"x\"", &line));
}

static void skips_what_is_no_extent(void **state)
{
    (void)state;
    struct vmdk_extent_line line;
    const char *const texts[] = {
        "", "\n", "# RW 1 FLAT", "RWX 1 FLAT \"x\" 0", "CID=1", "RW 0 FLAT \"x\" 0", "RW -5 SPARSE \"x\""};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_false(first_extent(texts[i], &line));
        assert_false(error_is_set(&error));
    }
}

static void refuses_wrong_extent_lines(void **state)
{
    (void)state;
    struct vmdk_extent_line line;
    const char *const texts[] = {
        "RW 1 FLAT \"x\"",
        "RW 1 FLAT \"x\" -1",
        "RW 1 SPARSE \"x\" 0",
        "RW 1 VMFS \"x\" 0",
        "RW 1 FLAT \"x 0",
        "RW 1 FLAT x 0",
        "RW 1 FLAT \"\" 0",
        "RW 1",
        "RW FLAT \"x\" 0",
        "RW 1 VMFSRDM \"x\"",
        "RW 1 flat \"x\" 0",
        "RW 1 SPARSEEEEEEEEE \"x\"",
        "RW 36028797018963968 FLAT \"x\" 0",
        "RW 1 FLAT \"x\" 36028797018963968",
        "RW 99999999999999999999 SPARSE \"x\"",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_false(first_extent(texts[i], &line));
        assert_true(error_is_set(&error));
    }
    char name[600];
    memset(name, 'n', sizeof(name));
    memcpy(name, "RW 1 SPARSE \"", 13);
    name[13 + 512] = '"';
    name[13 + 513] = '\0';
    assert_false(first_extent(name, &line));
    name[13 + 511] = '"';
    assert_true(first_extent(name, &line));
}

static void reads_identities(void **state)
{
    (void)state;
    uint32_t cid;
    struct span name;
    assert_true(vmdk_descriptor_cid(text_of("CID=fffffffe\nparentCID=1\n"), &cid));
    assert_int_equal(cid, 0xfffffffe);
    assert_true(vmdk_descriptor_parent_cid(text_of("CID=1\nparentCID= 0xAb\n"), &cid));
    assert_int_equal(cid, 0xab);
    assert_true(vmdk_descriptor_cid(text_of("CID=-1"), &cid));
    assert_int_equal(cid, UINT32_MAX);
    assert_true(vmdk_descriptor_cid(text_of("CID=123456789abcdef01234"), &cid));
    assert_int_equal(cid, UINT32_MAX);
    assert_false(vmdk_descriptor_cid(text_of("CID=x"), &cid));
    assert_false(vmdk_descriptor_cid(text_of("CID"), &cid));
    assert_false(vmdk_descriptor_parent_cid(text_of("CID=1"), &cid));
    assert_true(vmdk_descriptor_parent(text_of("x"), &name));
    assert_int_equal(name.len, 0);
    assert_true(vmdk_descriptor_parent(text_of("parentFileNameHint=\"base.vmdk\"\n"), &name));
    assert_true(is_text(name, "base.vmdk"));
    assert_false(vmdk_descriptor_parent(text_of("parentFileNameHint=\"base"), &name));
    assert_false(vmdk_descriptor_parent(text_of("parentFileNameHint"), &name));
    assert_true(vmdk_descriptor_create_type(text_of("createType=\"vmfs\""), &name));
    assert_true(is_text(name, "vmfs"));
    assert_false(vmdk_descriptor_create_type(text_of("createType=\"vmfs"), &name));
    static const uint8_t cut[] = "CID=1\0createType=\"vmfs\"";
    assert_int_equal(vmdk_descriptor_text((struct span){cut, sizeof(cut)}).len, 5);
}

static void put(uint8_t *bytes, size_t off, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[off + i] = (uint8_t)(value >> (8 * i));
    }
}

/* 1 MiB of grains of 64 KiB. */
static void sparse_make(uint8_t bytes[512])
{
    memset(bytes, 0, 512);
    memcpy(bytes, "KDMV", 4);
    put(bytes, 4, 1, 4);
    put(bytes, 8, 3, 4);
    put(bytes, 12, 2048, 8);
    put(bytes, 20, 128, 8);
    put(bytes, 44, 512, 4);
    put(bytes, 48, 21, 8);
    put(bytes, 56, 26, 8);
    put(bytes, 64, 128, 8);
}

static bool sparse_check(const uint8_t bytes[512], struct vmdk_tables *ret_tables)
{
    struct vmdk_sparse_header header;
    error = (struct error){0};
    return vmdk_sparse_header_parse((struct span){bytes, 512}, &header) &&
           vmdk_sparse_header_check(&header, 1 << 20, ret_tables, &error);
}

static void reads_sparse_headers(void **state)
{
    (void)state;
    uint8_t bytes[512];
    struct vmdk_tables tables;
    sparse_make(bytes);
    assert_true(sparse_check(bytes, &tables));
    assert_int_equal(tables.capacity_len, 1 << 20);
    assert_int_equal(tables.grain_len, 65536);
    assert_int_equal(tables.directory_off, 26 * 512);
    assert_int_equal(tables.directory_count, 1);
    assert_true(tables.has_redundant);
    assert_int_equal(tables.redundant_off, 21 * 512);
    assert_false(tables.is_compressed);
    struct vmdk_sparse_header header;
    assert_false(vmdk_sparse_header_parse((struct span){bytes, 78}, &header));
    bytes[0] = 'k';
    assert_false(vmdk_sparse_header_parse((struct span){bytes, 512}, &header));
}

static void refuses_wrong_sparse_headers(void **state)
{
    (void)state;
    const struct {
        size_t off, len;
        uint64_t value;
        const char *detail;
    } wrong[] = {
        {4, 4, 4, "Unsupported VMDK version 4"},
        {44, 4, 513, "L2 table size too big"},
        {44, 4, 0, "L1 entry size is invalid"},
        {20, 8, 0, "L1 entry size is invalid"},
        {20, 8, 0x200001, "Invalid granularity, image may be corrupt"},
        {20, 8, UINT64_MAX, "Invalid granularity, image may be corrupt"},
        {12, 8, UINT64_MAX, "the extent's capacity, 18446744073709551615 sectors, is too large"},
        {12, 8, 1ull << 50, "L1 size too big"},
        {56, 8, UINT64_MAX - 1, "the grain directory at sector 18446744073709551614 cannot be there"},
        {64, 8, 2049, "File truncated, expecting at least 1049088 bytes"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        uint8_t bytes[512];
        struct vmdk_tables tables;
        sparse_make(bytes);
        put(bytes, wrong[i].off, wrong[i].value, wrong[i].len);
        assert_false(sparse_check(bytes, &tables));
        assert_string_equal(error.detail, wrong[i].detail);
    }
}

static void reads_footers(void **state)
{
    (void)state;
    uint8_t bytes[VMDK_FOOTER_LEN] = {0};
    struct vmdk_sparse_header header;
    sparse_make(bytes + 512);
    put(bytes, 12, 3, 4);
    assert_true(vmdk_footer_parse((struct span){bytes, sizeof(bytes)}, &header, &error));
    assert_int_equal(header.directory_sector, 26);
    error = (struct error){0};
    put(bytes, 512 + 56, UINT64_MAX, 8);
    assert_false(vmdk_footer_parse((struct span){bytes, sizeof(bytes)}, &header, &error));
    sparse_make(bytes + 512);
    put(bytes, 1024, 1, 8);
    assert_false(vmdk_footer_parse((struct span){bytes, sizeof(bytes)}, &header, &error));
}

static void reads_cowd_headers(void **state)
{
    (void)state;
    uint8_t bytes[VMDK_COWD_HEADER_LEN] = "COWD";
    struct vmdk_tables tables;
    error = (struct error){0};
    put(bytes, 12, 100, 4);
    put(bytes, 16, 1, 4);
    put(bytes, 20, 4, 4);
    put(bytes, 24, 1, 4);
    assert_true(vmdk_cowd_header_parse((struct span){bytes, sizeof(bytes)}, &tables, &error));
    assert_int_equal(tables.table_count, 4096);
    assert_int_equal(tables.capacity_len, 51200);
    put(bytes, 16, 0, 4); /* QEMU divides by it */
    assert_false(vmdk_cowd_header_parse((struct span){bytes, sizeof(bytes)}, &tables, &error));
}

static void reads_sesparse_entries(void **state)
{
    (void)state;
    uint64_t index = 0;
    assert_int_equal(vmdk_sesparse_directory_entry(0, &index), VMDK_SESPARSE_UNALLOCATED);
    assert_int_equal(vmdk_sesparse_directory_entry(0x1000000000000007, &index), VMDK_SESPARSE_STORED);
    assert_int_equal(index, 7);
    assert_int_equal(vmdk_sesparse_directory_entry(0x1000000100000000, &index), VMDK_SESPARSE_INVALID);
    assert_int_equal(vmdk_sesparse_table_entry(0, &index), VMDK_SESPARSE_UNALLOCATED);
    assert_int_equal(vmdk_sesparse_table_entry(1, &index), VMDK_SESPARSE_INVALID);
    assert_int_equal(vmdk_sesparse_table_entry(0x1000000000000000, &index), VMDK_SESPARSE_ZERO);
    assert_int_equal(vmdk_sesparse_table_entry(0x2000000000000001, &index), VMDK_SESPARSE_ZERO);
    assert_int_equal(vmdk_sesparse_table_entry(0x3abc000000000001, &index), VMDK_SESPARSE_STORED);
    assert_int_equal(index, 0x1abc);
    assert_int_equal(vmdk_sesparse_table_entry(0x4000000000000000, &index), VMDK_SESPARSE_INVALID);
}

/* A marker's length does not count the marker: it may not pass the bytes that are there. */
static void checks_grain_markers(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    struct span stream;
    put(bytes, 8, 52, 4);
    assert_true(vmdk_grain_stream((struct span){bytes, 64}, &stream));
    assert_ptr_equal(stream.data, bytes + 12);
    assert_int_equal(stream.len, 52);
    const uint32_t wrong[] = {0, 53, 64, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        put(bytes, 8, wrong[i], 4);
        assert_false(vmdk_grain_stream((struct span){bytes, 64}, &stream));
    }
    assert_false(vmdk_grain_stream((struct span){bytes, 11}, &stream));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_extent_lines),
        cmocka_unit_test(skips_what_is_no_extent),
        cmocka_unit_test(refuses_wrong_extent_lines),
        cmocka_unit_test(reads_identities),
        cmocka_unit_test(reads_sparse_headers),
        cmocka_unit_test(refuses_wrong_sparse_headers),
        cmocka_unit_test(reads_footers),
        cmocka_unit_test(reads_cowd_headers),
        cmocka_unit_test(reads_sesparse_entries),
        cmocka_unit_test(checks_grain_markers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
