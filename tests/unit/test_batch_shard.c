/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/batch/manifest_shard.h"

static const char *const variables[] = {
    "SLURM_ARRAY_TASK_ID",   "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
    "SLURM_ARRAY_TASK_STEP", "JOB_COMPLETION_INDEX",   "PARALLEL_SEQ",
};

/* "NAME=VALUE NAME=VALUE" */
static void environment_set(const char *text)
{
    char copy[512];
    char *rest = NULL;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        unsetenv(variables[i]);
    }
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        *equals = '\0';
        setenv(word, equals + 1, 1);
    }
}

static void environment_is(const char *text, uint32_t count, uint32_t expected_number, uint32_t expected_count)
{
    struct shard shard = {0};
    struct error error = {0};
    environment_set(text);
    assert_int_equal(shard_from_environment(count, &shard, &error), expected_number > 0);
    assert_int_equal(shard.number, expected_number);
    assert_int_equal(shard.count, expected_count);
    assert_int_equal(error_is_set(&error), expected_number == 0);
}

static void option(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "1", "/", "0/4", "5/4", "1/0", "-1/4", "1/4x", "1 /4", "1/1000001"};
    struct shard shard = {0};
    struct error error = {0};
    assert_true(shard_parse("3/4", "--shard", &shard, &error));
    assert_int_equal(shard.number, 3);
    assert_int_equal(shard.count, 4);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error = (struct error){0};
        assert_false(shard_parse(wrong[i], "--shard", &shard, &error));
        assert_int_equal(error.kind, ERROR_USAGE);
    }
}

static void nothing_is_set(void **state)
{
    (void)state;
    environment_is("", 0, 1, 1);
    environment_is("", 1, 1, 1);
    environment_is("", 2, 0, 0);
}

static void slurm(void **state)
{
    (void)state;
    environment_is("SLURM_ARRAY_TASK_ID=0", 4, 1, 4);
    environment_is("SLURM_ARRAY_TASK_ID=3", 4, 4, 4);
    environment_is("SLURM_ARRAY_TASK_ID=4", 4, 0, 0);
    environment_is("SLURM_ARRAY_TASK_ID=x", 4, 0, 0);
    environment_is("SLURM_ARRAY_TASK_ID=3", 0, 0, 0);
    environment_is("SLURM_ARRAY_TASK_ID=14 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=14 "
                   "SLURM_ARRAY_TASK_STEP=2",
                   0, 3, 3);
    environment_is("SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4", 0, 1,
                   4);
    /* 3 and 7 of an array, once more: half of the jobs would be neither's. */
    environment_is("SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=7 "
                   "SLURM_ARRAY_TASK_STEP=1",
                   0, 0, 0);
}

static void others(void **state)
{
    (void)state;
    environment_is("JOB_COMPLETION_INDEX=0", 3, 1, 3);
    environment_is("JOB_COMPLETION_INDEX=3", 3, 0, 0);
    environment_is("JOB_COMPLETION_INDEX=1", 0, 0, 0);
    environment_is("PARALLEL_SEQ=1", 3, 1, 3);
    environment_is("PARALLEL_SEQ=3", 3, 3, 3);
    environment_is("PARALLEL_SEQ=0", 3, 0, 0);
    environment_is("PARALLEL_SEQ=4", 3, 0, 0);
}

static void each_line_is_in_one_shard(void **state)
{
    (void)state;
    for (uint64_t line = 0; line < 100; line++) {
        unsigned int count = 0;
        for (uint32_t number = 1; number <= 7; number++) {
            count += shard_has(&(struct shard){number, 7}, line);
        }
        assert_int_equal(count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option),
        cmocka_unit_test(nothing_is_set),
        cmocka_unit_test(slurm),
        cmocka_unit_test(others),
        cmocka_unit_test(each_line_is_in_one_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
