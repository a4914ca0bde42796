/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/statistics_print.h"

static instar_Statistics example(void)
{
    instar_Statistics statistics = {
        .exits = 100,
        .io_in = 5,
        .io_out = 20,
        .mmio_write = 74,
        .coalesced_writes = 1000,
        .waits = 3,
        .wall_ns = 2000000000,
        .peak_memory = 1048576,
        .devices_count = 2,
        .devices =
            {
                {.name = "input", .backend = "regular", .sector_size = 512, .reads = 4, .bytes_read = 1025},
                {.name = "output", .backend = "regular", .sector_size = 4096, .writes = 5, .bytes_written = 1025},
            },
        .kernel_statistics_supported = true,
        .kernel_statistics_count = 3,
        .kernel_statistics =
            {
                {.name = "exits", .vcpu = 0, .value = 100},
                {.name = "pages_4k", .vcpu = -1, .value = 7},
                {.name = "nothing", .vcpu = -1, .value = 0},
            },
    };
    return statistics;
}

/* The caller frees the text. */
static char *print(enum statistics_format format, const instar_Statistics *statistics)
{
    char *text = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&text, &len);
    assert_non_null(stream);
    statistics_print(stream, format, statistics);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        print_error("%s\n", text != NULL ? text : "");
        fail_msg("no '%s' in the text above", part);
    }
}

static void test_derived(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    struct derived_statistics derived = statistics_derive(&statistics);
    assert_true(derived.seconds == 2.0);
    assert_true(derived.exits_per_second == 50.0);
    assert_true(derived.mmio_exits_per_sector == 74.0 / 4); /* 3 sectors read, 1 written */
    assert_true(derived.bytes_per_exit == 20.5);
}

static void test_nothing_to_divide_by(void **state)
{
    (void)state;
    instar_Statistics statistics = {.devices_count = 1};
    struct derived_statistics derived = statistics_derive(&statistics);
    assert_true(derived.exits_per_second == 0);
    assert_true(derived.mmio_exits_per_sector == 0);
    assert_true(derived.bytes_per_exit == 0);
    statistics.devices[0].bytes_read = 1000; /* but no sector size */
    assert_int_equal(statistics_sectors(&statistics.devices[0], 1000), 0);
}

static void test_other_exits(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    struct exit_count counts[EXIT_KIND_COUNT];
    statistics_exits(&statistics, counts);
    assert_string_equal(counts[EXIT_KIND_COUNT - 1].name, "other");
    assert_int_equal(counts[EXIT_KIND_COUNT - 1].count, 1);
    statistics.exits = 10; /* less than the kinds: forged */
    statistics_exits(&statistics, counts);
    assert_int_equal(counts[EXIT_KIND_COUNT - 1].count, 0);
}

static void test_human(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    char *text = print(STATISTICS_HUMAN, &statistics);
    assert_has(text, "mmio-write                          74          74.0 %\n");
    assert_has(text, "total                              100\n");
    assert_has(text, "sectors read                         3               0\n");
    assert_has(text, "exits per second                  50.0\n");
    assert_has(text, "bytes per exit                    20.5\n");
    assert_has(text, "vcpu 0  exits");
    assert_has(text, "vm      pages_4k");
    assert_null(strstr(text, "nothing"));
    free(text);
}

static void test_human_without_anything(void **state)
{
    (void)state;
    instar_Statistics statistics = {0};
    char *text = print(STATISTICS_HUMAN, &statistics);
    assert_has(text, "kernel: does not offer statistics");
    free(text);
}

static json_int_t json_at(json_t *root, const char *object, const char *key)
{
    json_t *value = json_object_get(json_object_get(root, object), key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void test_json(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    char *text = print(STATISTICS_JSON, &statistics);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(json_at(root, "exits", "total"), 100);
    assert_int_equal(json_at(root, "exits", "mmio-write"), 74);
    assert_int_equal(json_at(root, "exits", "other"), 1);
    assert_true(json_real_value(json_object_get(json_object_get(root, "derived"), "bytes-per-exit")) == 20.5);
    assert_int_equal(json_integer_value(json_object_get(root, "wall-ns")), 2000000000);
    json_t *devices = json_object_get(root, "devices");
    assert_int_equal(json_array_size(devices), 2);
    json_t *input = json_array_get(devices, 0);
    assert_string_equal(json_string_value(json_object_get(input, "name")), "input");
    assert_int_equal(json_integer_value(json_object_get(input, "sectors-read")), 3);
    assert_int_equal(json_at(input, "requests", "read"), 4);
    json_t *kernel = json_object_get(json_object_get(root, "kernel"), "statistics");
    assert_int_equal(json_array_size(kernel), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(kernel, 0), "vcpu")), 0);
    assert_true(json_is_null(json_object_get(json_array_get(kernel, 1), "vcpu")));
    json_decref(root);
    free(text);
}

/* Whatever the child sends, the output keeps its form. */
static void make_hostile(instar_Statistics *statistics)
{
    memcpy(statistics->devices[0].name, "a\"\\\n\xff\x1b}", 8);
    statistics->devices[0].sector_size = 0;
    statistics->devices[0].reads = UINT64_MAX;
    statistics->devices[0].bytes_read = UINT64_MAX;
    statistics->devices[1].bytes_written = UINT64_MAX;
    statistics->kernel_statistics[0].vcpu = INT64_MIN;
    statistics->kernel_statistics[0].value = UINT64_MAX;
    statistics->wall_ns = 1;
}

static void test_json_of_hostile_figures(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    make_hostile(&statistics);
    char *text = print(STATISTICS_JSON, &statistics);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    json_t *input = json_array_get(json_object_get(root, "devices"), 0);
    assert_string_equal(json_string_value(json_object_get(input, "name")), "a\"\\\\x0a\\xff\\x1b}");
    assert_true(json_at(input, "requests", "read") == INT64_MAX);
    json_decref(root);
    free(text);
}

static void test_prometheus(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    char *text = print(STATISTICS_PROMETHEUS, &statistics);
    assert_has(text, "# HELP instar_vm_exits_total Exits of the virtual machine by kind.\n"
                     "# TYPE instar_vm_exits_total counter\n"
                     "instar_vm_exits_total{kind=\"io_in\"} 5\n");
    assert_has(text, "instar_vm_exits_total{kind=\"mmio_write\"} 74\n");
    assert_has(text, "instar_vm_run_seconds 2.000000000\n");
    assert_has(text, "instar_device_requests_total{device=\"input\",backend=\"regular\",type=\"read\"} 4\n");
    assert_has(text, "instar_device_bytes_total{device=\"output\",backend=\"regular\",direction=\"write\"} 1025\n");
    assert_has(text, "instar_kvm_statistic{name=\"exits\",vcpu=\"0\"} 100\n");
    assert_has(text, "instar_kvm_statistic{name=\"pages_4k\"} 7\n");
    free(text);
}

/* Each line is a comment or a sample: a name, perhaps labels, a number. */
static void check_prometheus_line(const char *line)
{
    if (line[0] == '#') {
        return;
    }
    assert_true(strncmp(line, "instar_", 7) == 0);
    const char *at = line + strspn(line, "abcdefghijklmnopqrstuvwxyz_");
    bool is_quoted = false;
    if (*at == '{') {
        for (at++; is_quoted || *at != '}'; at++) {
            assert_true(*at != '\0');
            if (is_quoted && *at == '\\') {
                at++;
                assert_true(*at == '\\' || *at == '"');
            } else if (*at == '"') {
                is_quoted = !is_quoted;
            }
        }
        at++;
    }
    assert_int_equal(*at, ' ');
    assert_int_equal(strspn(at + 1, "0123456789."), strlen(at + 1));
}

static void test_prometheus_of_hostile_figures(void **state)
{
    (void)state;
    instar_Statistics statistics = example();
    make_hostile(&statistics);
    char *text = print(STATISTICS_PROMETHEUS, &statistics);
    assert_has(text, "device=\"a\\\"\\\\\\\\x0a\\\\xff\\\\x1b}\"");
    char *rest = text;
    while (*rest != '\0') {
        char *end = strchr(rest, '\n');
        assert_non_null(end);
        *end = '\0';
        check_prometheus_line(rest);
        rest = end + 1;
    }
    free(text);
}

static void test_format_names(void **state)
{
    (void)state;
    enum statistics_format format = STATISTICS_HUMAN;
    assert_true(statistics_format_parse("prometheus", &format));
    assert_int_equal(format, STATISTICS_PROMETHEUS);
    assert_false(statistics_format_parse("", &format));
    assert_false(statistics_format_parse("JSON", &format));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derived),
        cmocka_unit_test(test_nothing_to_divide_by),
        cmocka_unit_test(test_other_exits),
        cmocka_unit_test(test_human),
        cmocka_unit_test(test_human_without_anything),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_of_hostile_figures),
        cmocka_unit_test(test_prometheus),
        cmocka_unit_test(test_prometheus_of_hostile_figures),
        cmocka_unit_test(test_format_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
