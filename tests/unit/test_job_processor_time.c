/* SPDX-License-Identifier: Apache-2.0 */
/* The processor time of processes together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/job/parent/processor_time.h"

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A process that has computed for this long when it is returned, and then sleeps. */
static pid_t process_make(uint64_t computed_ms)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (clock_ms(CLOCK_PROCESS_CPUTIME_ID) < computed_ms) {
        }
        byte = write(ready[1], &byte, 1) == 1;
        for (;;) {
            pause();
        }
    }
    assert_true(pid > 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void process_end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_one_process(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    pid_t little = process_make(600);
    pid_t much = process_make(1100);
    processor_time_init(&time, 1);
    processor_time_add(&time, little);
    assert_true(processor_time_check(&time, 0, &error));
    processor_time_init(&time, 1);
    processor_time_add(&time, much);
    assert_false(processor_time_check(&time, 0, &error));
    assert_int_equal(error.kind, ERROR_LIMIT);
    assert_string_equal(error.detail, "the job exceeded its limit of 1 s of processor time (--max-cpu)");
    process_end(little);
    process_end(much);
}

/* Neither of them exceeds the limit. */
static void test_the_sum_of_two(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    pid_t pids[] = {process_make(600), process_make(600)};
    processor_time_init(&time, 1);
    processor_time_add(&time, pids[0]);
    assert_true(processor_time_check(&time, 0, &error));
    processor_time_add(&time, pids[1]);
    assert_true(processor_time_check(&time, PROCESSOR_TIME_INTERVAL_MS - 1, &error)); /* not due yet */
    assert_false(processor_time_check(&time, PROCESSOR_TIME_INTERVAL_MS, &error));
    process_end(pids[0]);
    process_end(pids[1]);
}

static void test_a_process_that_is_gone_still_counts(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    pid_t pids[] = {process_make(600), process_make(600)};
    processor_time_init(&time, 1);
    processor_time_add(&time, pids[0]);
    assert_true(processor_time_check(&time, 0, &error));
    process_end(pids[0]);
    processor_time_add(&time, pids[1]);
    assert_false(processor_time_check(&time, PROCESSOR_TIME_INTERVAL_MS, &error));
    process_end(pids[1]);
}

/* What a child that was taken over may name as the guest's process. */
static void test_processes_that_are_none(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    pid_t gone = process_make(0);
    process_end(gone);
    processor_time_init(&time, 1);
    processor_time_add(&time, gone);
    processor_time_add(&time, 0);
    processor_time_add(&time, -1);
    processor_time_add(&time, INT32_MIN);
    assert_int_equal(time.process_count, 0);
    for (int i = 0; i < 10; i++) {
        processor_time_add(&time, getpid());
    }
    assert_int_equal(time.process_count, PROCESSOR_TIME_PROCESS_MAX);
    assert_true(processor_time_check(&time, 0, &error));
}

/* What the parent does is a part of the job. */
static void test_own_time(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    processor_time_init(&time, 1);
    processor_time_add_own(&time);
    assert_true(processor_time_check(&time, 0, &error));
    assert_int_equal(time.process_count, 1);
    assert_true(time.processes[0].used_ns > 0);
    pid_t other = process_make(1100);
    processor_time_add(&time, other);
    assert_false(processor_time_check(&time, PROCESSOR_TIME_INTERVAL_MS, &error));
    process_end(other);
    processor_time_init(&time, 0);
    processor_time_add_own(&time);
    assert_int_equal(time.process_count, 0);
}

static void test_no_limit(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    processor_time_init(&time, 0);
    processor_time_add(&time, getpid());
    assert_true(processor_time_check(&time, 0, &error));
    assert_true(processor_time_wait_ms(&time, 0) == UINT64_MAX);
}

static void test_when_to_look(void **state)
{
    (void)state;
    struct processor_time time;
    struct error error = {0};
    processor_time_init(&time, 60);
    processor_time_add(&time, getpid());
    assert_true(processor_time_wait_ms(&time, 1000) == 0);
    assert_true(processor_time_check(&time, 1000, &error));
    assert_true(processor_time_wait_ms(&time, 1000) == PROCESSOR_TIME_INTERVAL_MS);
    assert_true(processor_time_wait_ms(&time, 1001) == PROCESSOR_TIME_INTERVAL_MS - 1);
    assert_true(processor_time_wait_ms(&time, 5000) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_process),
        cmocka_unit_test(test_the_sum_of_two),
        cmocka_unit_test(test_a_process_that_is_gone_still_counts),
        cmocka_unit_test(test_processes_that_are_none),
        cmocka_unit_test(test_own_time),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_when_to_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
