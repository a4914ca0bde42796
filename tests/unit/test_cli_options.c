/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/cli/machine_options.h"
#include "host/cli/options.h"

static const struct option options[] = {
    {"quiet", no_argument, NULL, 'q'},
    MACHINE_OPTIONS,
    {NULL, 0, NULL, 0},
};

static struct machine_options parsed;
static struct error error;

/* Parses the arguments after the program's name; a NULL ends them. */
static bool parse(char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    optind = 0;
    error = (struct error){0};
    machine_options_init(&parsed);
    int code;
    while ((code = options_next(argc, argv, ":q", options, &error)) != OPTIONS_END) {
        if (code == OPTIONS_ERROR || (code != 'q' && !machine_options_take(&parsed, code, optarg, &error))) {
            return false;
        }
    }
    return true;
}

#define ARGUMENTS(...) ((char *[]){(char[]){"test"}, __VA_ARGS__, NULL})
#define A(text) ((char[]){text})

static void assert_error(char **argv, const char *place, const char *detail)
{
    assert_false(parse(argv));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.place, place);
    assert_string_equal(error.detail, detail);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_true(parse(ARGUMENTS(A("operand"))));
    assert_int_equal(parsed.job.inputs[0].sector_len, 512);
    assert_int_equal(parsed.job.output.sector_len, 512);
    assert_int_equal(parsed.backend, BACKEND_REGULAR);
    assert_true(parsed.job.use_ioeventfd);
    assert_int_equal(parsed.job.vcpu_count, 1);
    assert_int_equal(parsed.copy.queue_depth, 0);
    assert_int_equal(parsed.copy.request_len, 0);
    assert_int_equal(parsed.copy.progress_percent, 0);
    assert_int_equal(parsed.job.sandbox, JOB_SANDBOX_AUTO);
    assert_int_equal(parsed.job.late_device_count, 0);
    assert_false(parsed.job.sync);
    assert_false(parsed.job.want_statistics);
    assert_false(parsed.job.want_debug);
}

static void test_options_anywhere(void **state)
{
    (void)state;
    assert_true(parse(ARGUMENTS(A("--vcpus=2"), A("a"), A("--queue-depth"), A("256"), A("b"), A("--sync"), A("--debug"),
                                A("--no-ioeventfd"), A("--stats=json"))));
    assert_int_equal(parsed.job.vcpu_count, 2);
    assert_int_equal(parsed.copy.queue_depth, 256);
    assert_true(parsed.job.sync);
    assert_true(parsed.job.want_debug);
    assert_false(parsed.job.use_ioeventfd);
    assert_true(parsed.job.want_statistics);
    assert_int_equal(parsed.statistics_format, STATISTICS_JSON);
}

static void test_statistics_are_for_people_by_default(void **state)
{
    (void)state;
    assert_true(parse(ARGUMENTS(A("--stats"), A("json"))));
    assert_true(parsed.job.want_statistics);
    assert_int_equal(parsed.statistics_format, STATISTICS_HUMAN);
}

static void test_two_dashes_end_the_options(void **state)
{
    (void)state;
    char *argv[] = {A("test"), A("--"), A("--sync"), NULL};
    assert_true(parse(argv));
    assert_false(parsed.job.sync);
    assert_string_equal(argv[optind], "--sync");
}

static void test_wrong_options(void **state)
{
    (void)state;
    assert_error(ARGUMENTS(A("--nonsense")), "--nonsense", "unknown option");
    assert_error(ARGUMENTS(A("--nonsense=5")), "--nonsense", "unknown option");
    assert_error(ARGUMENTS(A("-x")), "-x", "unknown option");
    assert_error(ARGUMENTS(A("-qx")), "-x", "unknown option");
    assert_error(ARGUMENTS(A("--sync=1")), "--sync", "takes no value");
    assert_error(ARGUMENTS(A("--quiet=1")), "--quiet", "takes no value");
    assert_error(ARGUMENTS(A("--vcpus")), "--vcpus", "needs a value");
}

static void test_wrong_values(void **state)
{
    (void)state;
    assert_error(ARGUMENTS(A("--vcpus=0")), "--vcpus", "0 is not a number from 1 to 16");
    assert_error(ARGUMENTS(A("--vcpus=17")), "--vcpus", "17 is not a number from 1 to 16");
    assert_error(ARGUMENTS(A("--vcpus=")), "--vcpus", " is not a number from 1 to 16");
    assert_error(ARGUMENTS(A("--queue-depth=257")), "--queue-depth", "257 is not a number from 1 to 256");
    assert_error(ARGUMENTS(A("--stats=xml")), "--stats", "xml is not one of human, json, prometheus");
}

static void test_powers_of_two(void **state)
{
    (void)state;
    uint32_t len = 0;
    error = (struct error){0};
    assert_true(option_power_parse("--size", "64K", 512, 16777216, &len, &error));
    assert_int_equal(len, 65536);
    const char *const wrong[] = {"0", "256", "1000", "32M", "4096x", ""};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error = (struct error){0};
        assert_false(option_power_parse("--size", wrong[i], 512, 16777216, &len, &error));
        assert_int_equal(len, 65536);
    }
    error = (struct error){0};
    assert_false(option_power_parse("--size", "1000", 512, 16777216, &len, &error));
    assert_string_equal(error.place, "--size");
    assert_string_equal(error.detail, "1000 is not a power of two from 512 to 16777216");
}

static void test_one_backend_only(void **state)
{
    (void)state;
    error = (struct error){0};
    machine_options_init(&parsed);
    assert_true(machine_options_take_backend(&parsed, BACKEND_DIRECT, "--direct-io", &error));
    assert_true(machine_options_take_backend(&parsed, BACKEND_DIRECT, "--direct-io", &error));
    assert_false(machine_options_take_backend(&parsed, BACKEND_MMAP, "--mmap-backing", &error));
    assert_string_equal(error.place, "--mmap-backing");
    assert_string_equal(error.detail, "cannot be combined with --direct-io");
}

static void test_one_option_with_two_backends(void **state)
{
    (void)state;
    error = (struct error){0};
    machine_options_init(&parsed);
    assert_true(machine_options_take_backend(&parsed, BACKEND_DIRECT, "--backing", &error));
    assert_false(machine_options_take_backend(&parsed, BACKEND_MMAP, "--backing", &error));
    assert_string_equal(error.place, "--backing");
    assert_string_equal(error.detail, "is given twice, with different values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_options_anywhere),
        cmocka_unit_test(test_statistics_are_for_people_by_default),
        cmocka_unit_test(test_two_dashes_end_the_options),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_powers_of_two),
        cmocka_unit_test(test_one_backend_only),
        cmocka_unit_test(test_one_option_with_two_backends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
