/* SPDX-License-Identifier: Apache-2.0 */
/* How users name images, target options, snapshots, sizes and cache modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "host/cli/image/format_options.h"
#include "host/cli/image/names/image_name.h"
#include "host/cli/image/names/image_options.h"
#include "host/cli/image/names/image_path.h"

static struct error error;

static void assert_name(bool is_parsed, struct image_name *name, const char *path, const char *format,
                        const char *shown)
{
    assert_true(is_parsed);
    assert_string_equal(name->path, path);
    assert_string_equal(name->format, format);
    if (shown == NULL) {
        assert_null(name->shown_format);
    } else {
        assert_string_equal(name->shown_format, shown);
    }
    image_name_release(name);
}

static void assert_named(const char *text, const char *format, const char *path, const char *guest_format,
                         const char *shown)
{
    struct image_name name;
    error = (struct error){0};
    assert_name(image_name_parse(&name, text, format, &error), &name, path, guest_format, shown);
}

static void assert_options(const char *text, const char *path, const char *format, const char *shown)
{
    struct image_name name;
    error = (struct error){0};
    assert_name(image_name_parse_options(&name, text, &error), &name, path, format, shown);
}

static void assert_refused(bool is_parsed, const char *detail)
{
    assert_false(is_parsed);
    assert_string_equal(error.detail, detail);
    assert_string_equal(error.place, "");
    error = (struct error){0};
}

static void test_names(void **state)
{
    (void)state;
    assert_named("a.qcow2", NULL, "a.qcow2", "", NULL);
    assert_named("a.qcow2", "qcow2", "a.qcow2", "qcow2", NULL);
    assert_named("./a:b", NULL, "./a:b", "", NULL);
    assert_named("file:a:b", "raw", "./a:b", "raw", NULL);
    assert_named("file:/x/a", NULL, "/x/a", "", NULL);
    assert_named("host_device:/dev/x", NULL, "/dev/x", "", NULL);
    assert_named("a", "file", "a", "raw", "file");
    struct image_name name;
    assert_refused(image_name_parse(&name, "", NULL, &error), "The 'file' block driver requires a file name");
    assert_refused(image_name_parse(&name, "nbd://x/y", NULL, &error), "Unknown protocol 'nbd'");
    assert_refused(image_name_parse(&name, "a:b", NULL, &error), "Unknown protocol 'a'");
    assert_refused(image_name_parse(&name, "a", "a_format_with_a_name_far_too_long", &error),
                   "Unknown driver 'a_format_with_a_name_far_too_long'");
}

/* Where a text that is put together ends, and the room from there on. */
struct text_end {
    char *text;
    size_t room;
};

static void text_repeat(struct text_end *end, const char *part, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        size_t len = strlen(part);
        assert_true(len < end->room);
        memcpy(end->text, part, len + 1);
        end->text += len;
        end->room -= len;
    }
}

static void test_json_names(void **state)
{
    (void)state;
    assert_named("json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"b\"}}", NULL, "b", "qcow2",
                 NULL);
    assert_named("json:{\"file.filename\":\"b\",\"read-only\":true}", NULL, "b", "", NULL);
    assert_named("json:{\"driver\":\"file\",\"filename\":\"b\"}", NULL, "b", "raw", "file");
    struct image_name name;
    assert_refused(image_name_parse(&name, "json:[]", NULL, &error), "Invalid JSON object given");
    assert_refused(image_name_parse(&name, "json:{\"driver\":\"qcow2\"}", NULL, &error),
                   "A block device must be specified for \"file\"");
    assert_named("json:{\"driver\":\"qcow2\",\"file.filename\":\"b\"}", "raw", "b", "raw", NULL); /* -f counts */
    char deep[512];
    struct text_end end = {deep, sizeof(deep)};
    text_repeat(&end, "json:", 1);
    text_repeat(&end, "{\"a\":", 60);
    text_repeat(&end, "1", 1);
    text_repeat(&end, "}", 60);
    assert_refused(image_name_parse(&name, deep, NULL, &error), "Objects are nested too deeply");
    assert_refused(image_name_parse(&name, "json:{\"file\":{\"driver\":\"nbd\",\"host\":\"x\"}}", NULL, &error),
                   "The driver 'nbd' for \"file\" is not supported");
    assert_refused(image_name_parse(&name, "json:{\"backing\":\"x\",\"file.filename\":\"b\"}", NULL, &error),
                   "Could not open backing file: Cannot find device='x' nor node-name='x'");
    assert_true(image_name_parse(&name, "json:{'backing':null,'file.filename':'b'}", NULL, &error));
    assert_true(name.without_backing);
    image_name_release(&name);
}

/* What is behind an image, and raw nodes over one. */
static void test_nodes(void **state)
{
    (void)state;
    struct image_name name;
    assert_true(image_name_parse(&name,
                                 "json:{'driver':'qcow2','file.filename':'a','backing':{'driver':'qed',"
                                 "'file.filename':'b','backing':{'driver':'file','filename':'c'}}}",
                                 NULL, &error));
    assert_string_equal(name.path, "a");
    assert_string_equal(name.backing_key, "");
    assert_string_equal(name.backing->path, "b");
    assert_string_equal(name.backing->format, "qed");
    assert_string_equal(name.backing->backing->path, "c");
    assert_string_equal(name.backing->backing->format, "raw");
    assert_int_equal(name.backing->backing->behind_count, 2);
    assert_null(name.backing->backing->backing);
    assert_true(image_name_is_writable(&name, &error));
    assert_false(image_name_is_new(&name, &error));
    error = (struct error){0};
    image_name_release(&name);
    assert_true(image_name_parse_alone(&name,
                                       "json:{'driver':'qcow2','file.filename':'a','backing':{'driver':'nothing',"
                                       "'file.filename':'b','backing':{'driver':'file','filename':'c'}}}",
                                       NULL, false, &error));
    assert_string_equal(name.backing_key, "backing.backing.driver");
    assert_null(name.backing);
    image_name_release(&name);
    assert_true(image_name_parse_options(&name,
                                         "driver=raw,offset=1k,file.driver=raw,file.size=64k,file.file.driver=vdi,"
                                         "file.file.file.filename=a,file.file.file.driver=file",
                                         &error));
    assert_string_equal(name.path, "a");
    assert_string_equal(name.format, "vdi");
    assert_false(name.window.is_set);
    assert_int_equal(name.layer_count, 2);
    assert_true(name.layers[0].window.has_len);
    assert_int_equal(name.layers[0].window.len, 65536);
    assert_int_equal(name.layers[1].window.off, 1024);
    assert_false(name.layers[1].window.has_len);
    assert_string_equal(name.layers[1].window.node,
                        "{\"offset\": \"1k\", \"driver\": \"raw\", \"file\": {\"driver\": \"raw\", \"size\": \"64k\", "
                        "\"file\": {\"driver\": \"vdi\", \"file\": {\"driver\": \"file\", \"filename\": \"a\"}}}}");
    assert_false(image_name_is_writable(&name, &error));
    error = (struct error){0};
    image_name_release(&name);
    assert_refused(image_name_parse_options(&name, "driver=vdi,file.filename=a,backing.file.filename=b", &error),
                   "Driver doesn't support backing files");
    assert_refused(image_name_parse_options(&name, "driver=qcow2,file.filename=a,backing.driver=raw", &error),
                   "Could not open backing file: A block device must be specified for \"file\"");
    assert_true(image_name_parse_options(&name,
                                         "driver=luks,key-secret=s,file.driver=qcow2,file.backing.filename=b,"
                                         "file.backing.driver=file,file.file.filename=a",
                                         &error));
    assert_string_equal(name.format, "qcow2");
    assert_non_null(name.backing);
    assert_false(name.has_key_secret);
    assert_int_equal(name.layer_count, 1);
    assert_true(name.layers[0].is_image);
    assert_string_equal(name.layers[0].format, "luks");
    assert_string_equal(name.layers[0].key_secret, "s");
    assert_null(name.layers[0].backing);
    assert_false(image_name_is_writable(&name, &error));
    error = (struct error){0};
    image_name_release(&name);
}

/* There are bounds for both. */
static void test_nodes_too_deep(void **state)
{
    (void)state;
    static char options[16384];
    struct text_end end = {options, sizeof(options)};
    struct image_name name;
    for (unsigned int i = 0; i <= IMAGE_BEHIND_MAX + 1; i++) {
        text_repeat(&end, ",", i > 0);
        text_repeat(&end, "backing.", i);
        text_repeat(&end, "file.filename=a", 1);
    }
    assert_false(image_name_parse_options(&name, options, &error));
    assert_non_null(strstr(error.detail, "Could not open backing file"));
    error = (struct error){0};
    end = (struct text_end){options, sizeof(options)};
    for (unsigned int i = 0; i <= IMAGE_LAYERS_MAX + 1; i++) {
        text_repeat(&end, "file.", i);
        text_repeat(&end, i <= IMAGE_LAYERS_MAX ? "driver=raw," : "driver=qcow2,", 1);
    }
    text_repeat(&end, "file.", IMAGE_LAYERS_MAX + 1);
    text_repeat(&end, "file.filename=a", 1);
    assert_refused(image_name_parse_options(&name, options, &error), "more than 4 nodes over each other");
}

static void test_image_opts(void **state)
{
    (void)state;
    assert_options("driver=qcow2,file.filename=a,,b", "a,b", "qcow2", NULL);
    assert_options("file.filename=file:x", "./file:x", "", NULL);
    assert_options("driver=raw,file.driver=file,file.filename=x,node-name=y,file.aio=native", "x", "raw", NULL);
    assert_options("driver=host_device,filename=/dev/x", "/dev/x", "raw", "host_device");
    struct image_name name;
    assert_true(image_name_parse_options(&name, "file.locking=off,force-share,file.filename=x", &error));
    assert_true(name.force_share);
    assert_true(name.no_locks);
    image_name_release(&name);
    assert_refused(image_name_parse_options(&name, "foo", &error), "Cannot find device='foo' nor node-name='foo'");
    assert_refused(image_name_parse_options(&name, "foo,file.filename=x", &error),
                   "Cannot reference an existing block device with additional options or a new filename");
    assert_refused(image_name_parse_options(&name, "file.filename=x,foo", &error), "The option 'foo' is not supported");
    assert_refused(image_name_parse_options(&name, "filename=x", &error), "Must specify either driver or file");
    assert_refused(image_name_parse_options(&name, "driver=file", &error),
                   "The 'file' block driver requires a file name");
    assert_refused(image_name_parse_options(&name, "", &error), "Must specify either driver or file");
    assert_refused(image_name_parse_options(&name, "driver=qcow2,file.filename=x,encrypt.bogus=luks", &error),
                   "Parameter 'bogus' is unexpected");
    assert_refused(image_name_parse_options(&name, "driver=qcow2,file.filename=x,key-secret=s", &error),
                   "Block format 'qcow2' does not support the option 'key-secret'");
    assert_true(image_name_parse_options(&name, "driver=qcow2,file.filename=x,encrypt.format=luks,encrypt.key-secret=s",
                                         &error));
    assert_true(name.has_key_secret);
    assert_string_equal(name.key_secret, "s");
    assert_string_equal(name.key_format, "luks");
    image_name_release(&name);
    assert_refused(image_name_parse_options(&name, "force-share=perhaps,file.filename=x", &error),
                   "Parameter 'force-share' expects 'on' or 'off'");
}

static void assert_beside(const char *base, const char *name, const char *expected)
{
    struct image_path path;
    assert_true(image_path_beside(base, (struct span){(const uint8_t *)name, strlen(name)}, &path));
    assert_int_equal(path.len, strlen(expected));
    assert_memory_equal(path.bytes, expected, path.len);
}

static void test_paths(void **state)
{
    (void)state;
    assert_beside("b", "a", "a");
    assert_beside("./b", "a", "./a");
    assert_beside("/x/y/b", "../a", "/x/y/../a");
    assert_beside("/x/b", "/a", "/a");
    assert_beside("/x/b", "nbd:a", "nbd:a");
    assert_beside("/x/b", "y/a:b", "/x/y/a:b");
    static char base[IMAGE_PATH_LEN_MAX + 1];
    memset(base, '/', sizeof(base) - 1);
    struct image_path path;
    assert_false(image_path_beside(base, (struct span){(const uint8_t *)"a", 1}, &path));
}

static void assert_pair(const struct key_values *list, unsigned int index, const char *key, const char *value)
{
    assert_true(index < list->count);
    assert_string_equal(list->pairs[index].key, key);
    assert_string_equal(list->pairs[index].value, value);
}

static void test_format_options(void **state)
{
    (void)state;
    struct key_values options = {0};
    assert_true(format_options_take(&options, "cluster_size=4k,lazy_refcounts", &error));
    assert_true(format_options_take(&options, "nocow,file=a,,b=c,cluster_size=8k", &error));
    assert_pair(&options, 0, "cluster_size", "4k");
    assert_pair(&options, 1, "lazy_refcounts", "on");
    assert_pair(&options, 2, "cow", "off");
    assert_pair(&options, 3, "file", "a,b=c");
    assert_string_equal(key_values_find(&options, "cluster_size"), "8k");
    assert_false(format_options_ask_help(&options));
    instar_FormatOption encoded[FORMAT_OPTIONS_MAX];
    pb_size_t count;
    assert_true(format_options_encode(&options, false, encoded, &count, &error));
    /* Of one that is given twice, the last one. */
    assert_int_equal(count, 4);
    assert_string_equal(encoded[2].value, "a,b=c");
    assert_string_equal(encoded[3].name, "cluster_size");
    assert_string_equal(encoded[3].value, "8k");
    assert_refused(format_options_take(&options, "", &error), "Invalid option list: ");
    assert_refused(format_options_take(&options, ",a", &error), "Invalid option list: ,a");
    assert_refused(format_options_take(&options, "a,", &error), "Invalid option list: a,");
    assert_true(format_options_take(&options, "help", &error));
    assert_true(format_options_ask_help(&options));
    key_values_release(&options);
}

static void test_format_options_too_many(void **state)
{
    (void)state;
    struct key_values options = {0};
    instar_FormatOption encoded[FORMAT_OPTIONS_MAX];
    pb_size_t count;
    unsigned int taken = 0;
    char option[16];
    do {
        snprintf(option, sizeof(option), "a%u=b", taken);
    } while (taken < 1000 && format_options_take(&options, option, &error) && ++taken > 0);
    assert_int_equal(taken, KEY_VALUES_MAX);
    error = (struct error){0};
    assert_false(format_options_encode(&options, false, encoded, &count, &error));
    key_values_release(&options);
    error = (struct error){0};
    assert_true(
        format_options_take(&options, "a=0123456789012345678901234567890123456789012345678901234567890123", &error));
    assert_refused(format_options_encode(&options, false, encoded, &count, &error), "the value of 'a' is too long");
    key_values_release(&options);
}

static void test_snapshot_choice(void **state)
{
    (void)state;
    instar_SnapshotChoice choice;
    assert_true(snapshot_choice_parse("a,b", &choice, &error));
    assert_int_equal(choice.id_or_name.size, 3);
    assert_int_equal(choice.id.size, 0);
    assert_true(snapshot_choice_parse("snapshot.id=1,snapshot.name=x,,y", &choice, &error));
    assert_int_equal(choice.id_or_name.size, 0);
    assert_memory_equal(choice.id.bytes, "1", 1);
    assert_int_equal(choice.name.size, 3);
    assert_memory_equal(choice.name.bytes, "x,y", 3);
    assert_refused(snapshot_choice_parse("snapshot.foo=1", &choice, &error), "Invalid parameter 'snapshot.foo'");
    char text[400];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_refused(snapshot_choice_parse(text, &choice, &error), "Failed to load snapshot: Can't find snapshot");
}

static void test_sizes(void **state)
{
    (void)state;
    uint64_t len = 0;
    assert_true(size_argument_parse("image size", "1.5G", &len, &error));
    assert_int_equal(len, 1610612736);
    assert_true(size_argument_parse("image size", "0x10", &len, &error));
    assert_int_equal(len, 16);
    static const char *const wrong[] = {"", "-1", "foo", "1.5", "1e3", "0x", "0x1.5", "8E", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error = (struct error){0};
        assert_false(size_argument_parse("image size", wrong[i], &len, &error));
        assert_memory_equal(error.detail, "Invalid image size specified. ", 30);
    }
    assert_int_equal(len, 16);
}

static void test_cache_modes(void **state)
{
    (void)state;
    struct cache_mode mode;
    assert_true(cache_mode_parse("none", &mode));
    assert_true(mode.is_direct && !mode.is_synced);
    assert_true(cache_mode_parse("directsync", &mode));
    assert_true(mode.is_direct && mode.is_synced);
    assert_true(cache_mode_parse("writethrough", &mode));
    assert_true(!mode.is_direct && mode.is_synced);
    assert_true(cache_mode_parse("unsafe", &mode));
    assert_true(!mode.is_direct && !mode.is_synced);
    assert_false(cache_mode_parse("NONE", &mode));
    assert_false(cache_mode_parse("", &mode));
}

static int enter(void **state)
{
    (void)state;
    error = (struct error){0};
    return 0;
}

#define TEST(function) cmocka_unit_test_setup(function, enter)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),           TEST(test_json_names),
        TEST(test_nodes),           TEST(test_nodes_too_deep),
        TEST(test_image_opts),      TEST(test_paths),
        TEST(test_format_options),  TEST(test_format_options_too_many),
        TEST(test_snapshot_choice), TEST(test_sizes),
        TEST(test_cache_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
