/* SPDX-License-Identifier: Apache-2.0 */
/* What qemu-img's commands print, from messages as guests send them. The expected texts are qemu-img's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/image/print/check_print.h"
#include "host/cli/image/print/detail_reader.h"
#include "host/cli/image/print/info_print.h"
#include "host/cli/image/print/snapshot_table.h"
#include "host/cli/image/values/value_print.h"

static char *printed;
static size_t printed_len;
static FILE *stream;
static struct error error;
static struct value_tree tree;
static struct detail_reader reader;
static struct job_result files;

static int enter(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    error = (struct error){0};
    stream = open_memstream(&printed, &printed_len);
    value_tree_init(&tree);
    detail_reader_init(&reader, &tree, &tree.root, &files);
    return stream == NULL;
}

static int leave(void **state)
{
    (void)state;
    fclose(stream);
    free(printed);
    value_tree_release(&tree);
    return 0;
}

static void assert_printed(const char *expected)
{
    fclose(stream);
    assert_string_equal(printed, expected);
    free(printed);
    stream = open_memstream(&printed, &printed_len);
    assert_non_null(stream);
}

static bool detail(instar_DetailKind kind, const char *key, int64_t number, const char *text)
{
    instar_DetailMessage message = {.kind = kind, .number = number};
    snprintf(message.key, sizeof(message.key), "%s", key);
    message.text.size = (pb_size_t)strlen(text);
    memcpy(message.text.bytes, text, message.text.size);
    return detail_reader_take(&reader, &message, &error);
}

static void object(const char *key)
{
    assert_true(detail(instar_DetailKind_DETAIL_OBJECT, key, 0, ""));
}

static void list(const char *key)
{
    assert_true(detail(instar_DetailKind_DETAIL_LIST, key, 0, ""));
}

static void end(void)
{
    assert_true(detail(instar_DetailKind_DETAIL_END, "", 0, ""));
}

static void text(const char *key, const char *value)
{
    assert_true(detail(instar_DetailKind_DETAIL_TEXT, key, 0, value));
}

static void number(const char *key, int64_t value)
{
    assert_true(detail(instar_DetailKind_DETAIL_NUMBER, key, value, ""));
}

static void truth(const char *key, bool value)
{
    assert_true(detail(instar_DetailKind_DETAIL_BOOL, key, value, ""));
}

static void snapshot(const char *id, const char *name, int64_t state_len, int64_t date, int64_t icount)
{
    object("");
    text("id", id);
    text("name", name);
    number("vm-state-size", state_len);
    number("date-sec", date);
    number("date-nsec", 0);
    number("vm-clock-sec", 3725);
    number("vm-clock-nsec", 7000000);
    if (icount >= 0) {
        number("icount", icount);
    }
    end();
}

static void bitmap(const char *name, const char *flag)
{
    object("");
    text("name", name);
    number("granularity", 65536);
    list("flags");
    if (flag != NULL) {
        text("", flag);
    }
    end();
    end();
}

static void qcow2_details(void)
{
    object("format-specific");
    text("type", "qcow2");
    object("data");
    text("compat", "1.1");
    text("compression-type", "zlib");
    truth("lazy-refcounts", false);
    number("refcount-bits", 16);
    truth("corrupt", false);
    truth("extended-l2", false);
    text("data-file", "d.data");
    truth("data-file-raw", true);
    list("bitmaps");
    bitmap("bm1", "auto");
    bitmap("bm \xc3\xa9", NULL);
    end();
    end();
    end();
    assert_true(detail_reader_check(&reader, &error));
}

static struct info_image qcow2_image(void)
{
    struct info_image image = {
        .message =
            {
                .format = "qcow2",
                .virtual_size = 104857600,
                .cluster_size = 65536,
                .has_dirty_flag = true,
                .has_backing_file = true,
                .backing_file = {.size = 7, .bytes = "a.qcow2"},
                .has_backing_format = true,
                .backing_format = {.size = 5, .bytes = "qcow2"},
            },
        .path = "dir/b.qcow2",
        .file_path = "dir/b.qcow2",
        .format = "qcow2",
        .allocated_len = 2408448,
        .details = &tree.root,
    };
    return image;
}

static void test_info_human(void **state)
{
    (void)state;
    qcow2_details();
    struct info_image image = qcow2_image();
    info_print_human(stream, &image);
    assert_printed("image: dir/b.qcow2\n"
                   "file format: qcow2\n"
                   "virtual size: 100 MiB (104857600 bytes)\n"
                   "disk size: 2.3 MiB\n"
                   "cluster_size: 65536\n"
                   "backing file: a.qcow2 (actual path: dir/a.qcow2)\n"
                   "backing file format: qcow2\n"
                   "Format specific information:\n"
                   "    compat: 1.1\n"
                   "    compression type: zlib\n"
                   "    lazy refcounts: false\n"
                   "    bitmaps:\n"
                   "        [0]:\n"
                   "            flags:\n"
                   "                [0]: auto\n"
                   "            name: bm1\n"
                   "            granularity: 65536\n"
                   "        [1]:\n"
                   "            flags:\n"
                   "            name: bm \xc3\xa9\n"
                   "            granularity: 65536\n"
                   "    refcount bits: 16\n"
                   "    data file: d.data\n"
                   "    data file raw: true\n"
                   "    corrupt: false\n"
                   "    extended l2: false\n");
}

static void test_info_json(void **state)
{
    (void)state;
    qcow2_details();
    list("snapshots");
    snapshot("1", "snap1", 0, 1795273025, 0);
    end();
    struct info_image image = qcow2_image();
    image.message.encrypted = true;
    struct value_tree json;
    value_tree_init(&json);
    info_add(&json, &json.root, "image", &image);
    assert_true(value_tree_check(&json, &error));
    value_print_json(stream, json.root.first);
    assert_printed("{\n"
                   "    \"backing-filename-format\": \"qcow2\",\n"
                   "    \"snapshots\": [\n"
                   "        {\n"
                   "            \"icount\": 0,\n"
                   "            \"vm-clock-nsec\": 7000000,\n"
                   "            \"name\": \"snap1\",\n"
                   "            \"date-sec\": 1795273025,\n"
                   "            \"date-nsec\": 0,\n"
                   "            \"vm-clock-sec\": 3725,\n"
                   "            \"id\": \"1\",\n"
                   "            \"vm-state-size\": 0\n"
                   "        }\n"
                   "    ],\n"
                   "    \"virtual-size\": 104857600,\n"
                   "    \"filename\": \"dir/b.qcow2\",\n"
                   "    \"cluster-size\": 65536,\n"
                   "    \"format\": \"qcow2\",\n"
                   "    \"actual-size\": 2408448,\n"
                   "    \"format-specific\": {\n"
                   "        \"type\": \"qcow2\",\n"
                   "        \"data\": {\n"
                   "            \"compat\": \"1.1\",\n"
                   "            \"compression-type\": \"zlib\",\n"
                   "            \"lazy-refcounts\": false,\n"
                   "            \"bitmaps\": [\n"
                   "                {\n"
                   "                    \"flags\": [\n"
                   "                        \"auto\"\n"
                   "                    ],\n"
                   "                    \"name\": \"bm1\",\n"
                   "                    \"granularity\": 65536\n"
                   "                },\n"
                   "                {\n"
                   "                    \"flags\": [\n"
                   "                    ],\n"
                   "                    \"name\": \"bm \\u00E9\",\n"
                   "                    \"granularity\": 65536\n"
                   "                }\n"
                   "            ],\n"
                   "            \"refcount-bits\": 16,\n"
                   "            \"data-file\": \"d.data\",\n"
                   "            \"data-file-raw\": true,\n"
                   "            \"corrupt\": false,\n"
                   "            \"extended-l2\": false\n"
                   "        }\n"
                   "    },\n"
                   "    \"full-backing-filename\": \"dir/a.qcow2\",\n"
                   "    \"encrypted\": true,\n"
                   "    \"backing-filename\": \"a.qcow2\",\n"
                   "    \"dirty-flag\": false\n"
                   "}");
    value_tree_release(&json);
}

static void test_info_of_little(void **state)
{
    (void)state;
    struct info_image image = {
        .message = {.format = "raw", .virtual_size = 0, .has_dirty_flag = true, .dirty_flag = true, .encrypted = true},
        .path = "r\x1b[2J",
        .file_path = "r",
        .format = "file",
        .allocated_len = UINT64_MAX,
        .details = &tree.root,
    };
    info_print_human(stream, &image);
    assert_printed("image: r\\x1b[2J\n"
                   "file format: file\n"
                   "virtual size: 0 B (0 bytes)\n"
                   "disk size: unavailable\n"
                   "encrypted: yes\n"
                   "cleanly shut down: no\n");
    image.message.virtual_size = (uint64_t)INT64_MAX + 1;
    assert_false(info_message_check(&image.message, &error));
}

/* Rows as of `qemu-img snapshot -l`. */
static void test_snapshot_table(void **state)
{
    (void)state;
    list("snapshots");
    snapshot("1", "snap1", 0, 1795273025, 0);
    snapshot("2", "a very long snapshot name that goes on", 5 << 20, 0, -1);
    snapshot("3", "\n\x1b", 1, 1, 12345678901);
    end();
    snapshot_table_print(stream, tree.root.first);
    assert_printed("Snapshot list:\n"
                   "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\n"
                   "1         snap1                 0 B 2026-11-21 14:57:05 01:02:05.007          0\n"
                   "2         a very long snapshot name that goes on    5 MiB 1970-01-01 00:00:00 01:02:05.007"
                   "           \n"
                   "3         \\x0a\\x1b              1 B 1970-01-01 00:00:01 01:02:05.00712345678901\n");
}

static void test_details_that_cannot_be(void **state)
{
    (void)state;
    assert_false(detail(instar_DetailKind_DETAIL_END, "", 0, ""));
    error = (struct error){0};
    assert_false(detail(instar_DetailKind_DETAIL_TEXT, "", 0, "without a name"));
    error = (struct error){0};
    assert_false(detail(instar_DetailKind_DETAIL_NONE, "key", 0, ""));
    error = (struct error){0};
    assert_false(detail((instar_DetailKind)77, "key", 0, ""));
    error = (struct error){0};
    number("key", 1);
    assert_false(detail(instar_DetailKind_DETAIL_NUMBER, "key", 2, ""));
}

static void test_details_too_deep(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < DETAIL_DEPTH_MAX; i++) {
        list("deeper");
    }
    assert_false(detail(instar_DetailKind_DETAIL_LIST, "", 0, ""));
    error = (struct error){0};
    assert_false(detail_reader_check(&reader, &error));
}

/* Bounded memory, whatever a guest says. */
static void test_details_without_end(void **state)
{
    (void)state;
    char long_text[1000];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    list("texts");
    unsigned int count = 0;
    while (detail(instar_DetailKind_DETAIL_TEXT, "", 0, long_text)) {
        count++;
        assert_true(count < VALUE_TREE_LEN_MAX / sizeof(long_text));
    }
    assert_true(count > VALUE_TREE_LEN_MAX / 1200);
    assert_int_equal(error.kind, ERROR_LIMIT);
}

static void test_members_without_end(void **state)
{
    (void)state;
    char key[16];
    unsigned int count = 0;
    do {
        snprintf(key, sizeof(key), "key%u", count);
    } while (detail(instar_DetailKind_DETAIL_NUMBER, key, 0, "") && ++count < 1000);
    assert_int_equal(count, VALUE_MEMBERS_MAX);
}

static void assert_json_text(const char *bytes, size_t len, const char *expected)
{
    value_print_json_text(stream, (struct span){(const uint8_t *)bytes, len});
    assert_printed(expected);
}

static void test_json_text(void **state)
{
    (void)state;
    assert_json_text("a\"\\/\b\f\n\r\t\x01\x7f", 11, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007F\"");
    assert_json_text("\xc3\xa9\xe6\x98\xa0\xf0\x9f\x92\xbe", 9, "\"\\u00E9\\u6620\\uD83D\\uDCBE\"");
    assert_json_text("\xff"
                     "a\xe6\x98",
                     4, "\"\\uFFFDa\\uFFFD\\uFFFD\"");
    assert_json_text("\0", 1, "\"\\u0000\"");
}

static void test_json_numbers(void **state)
{
    (void)state;
    list("numbers");
    number("", INT64_MIN);
    number("", INT64_MAX);
    truth("", true);
    end();
    list("none");
    end();
    value_print_json(stream, &tree.root);
    assert_printed(
        "{\n    \"none\": [\n    ],\n    \"numbers\": [\n        -9223372036854775808,\n        9223372036854775807,\n"
        "        true\n    ]\n}");
}

/* Long texts are escaped in pieces: no character may be cut. */
static void test_long_text(void **state)
{
    (void)state;
    char original[1001] = "";
    for (size_t i = 0; i < 999; i += 3) {
        memcpy(original + i, "\xe6\x98\xa0", 3);
    }
    for (size_t skip = 0; skip < 3; skip++) {
        char shifted[1010];
        snprintf(shifted, sizeof(shifted), "%.*s%s", (int)skip, "abc", original);
        value_print_text(stream, (struct span){(const uint8_t *)shifted, strlen(shifted)});
        assert_printed(shifted);
    }
}

static void test_check_human(void **state)
{
    (void)state;
    instar_CheckMessage message = {0};
    check_print_human(stream, &message);
    assert_printed("No errors were found on the image.\n");
    assert_int_equal(check_exit_code(&message), 0);
    message = (instar_CheckMessage){
        .corruptions = 1,
        .leaks = 2,
        .check_errors = 3,
        .has_fragmentation = true,
        .total_clusters = 1600,
        .allocated_clusters = 33,
        .fragmented_clusters = 1,
        .compressed_clusters = 1,
        .has_image_end_offset = true,
        .image_end_offset = 3080192,
    };
    check_print_human(stream, &message);
    assert_printed("\n1 errors were found on the image.\n"
                   "Data may be corrupted, or further writes to the image may corrupt it.\n"
                   "\n2 leaked clusters were found on the image.\n"
                   "This means waste of disk space, but no harm to data.\n"
                   "\n3 internal errors have occurred during the check.\n"
                   "33/1600 = 2.06% allocated, 3.03% fragmented, 3.03% compressed clusters\n"
                   "Image end offset: 3080192\n");
    assert_int_equal(check_exit_code(&message), CHECK_EXIT_FAILED);
    message.check_errors = 0;
    assert_int_equal(check_exit_code(&message), CHECK_EXIT_CORRUPT);
    message.corruptions = 0;
    assert_int_equal(check_exit_code(&message), CHECK_EXIT_LEAKS);
}

static void test_check_json(void **state)
{
    (void)state;
    instar_CheckMessage message = {
        .corruptions = 1,
        .has_fragmentation = true,
        .total_clusters = 1600,
        .allocated_clusters = 33,
        .fragmented_clusters = 1,
        .compressed_clusters = 0,
        .has_image_end_offset = true,
        .image_end_offset = 3080192,
    };
    check_add(&tree, &tree.root, &message, "both.qcow2", "qcow2");
    value_print_json(stream, &tree.root);
    assert_printed("{\n"
                   "    \"image-end-offset\": 3080192,\n"
                   "    \"total-clusters\": 1600,\n"
                   "    \"corruptions\": 1,\n"
                   "    \"check-errors\": 0,\n"
                   "    \"allocated-clusters\": 33,\n"
                   "    \"filename\": \"both.qcow2\",\n"
                   "    \"format\": \"qcow2\",\n"
                   "    \"fragmented-clusters\": 1\n"
                   "}");
    assert_true(check_message_check(&message, &error));
    message.leaks = UINT64_MAX;
    assert_false(check_message_check(&message, &error));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_info_human),
        TEST(test_info_json),
        TEST(test_info_of_little),
        TEST(test_snapshot_table),
        TEST(test_details_that_cannot_be),
        TEST(test_details_too_deep),
        TEST(test_details_without_end),
        TEST(test_members_without_end),
        TEST(test_json_text),
        TEST(test_json_numbers),
        TEST(test_long_text),
        TEST(test_check_human),
        TEST(test_check_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
