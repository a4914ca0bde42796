/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/output_console.h"

static struct console console;

static void test_nothing_is_written_before_flush(void **state)
{
    (void)state;
    int ends[2];
    char text[64];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    console_init(&console, ends[1]);
    console_print(&console, "%s %d\n", "line", 1);
    assert_int_equal(read(ends[0], text, sizeof(text)), -1);
    console_flush(&console);
    assert_int_equal(read(ends[0], text, sizeof(text)), 7);
    assert_memory_equal(text, "line 1\n", 7);
    close(ends[0]);
    close(ends[1]);
}

static void test_more_than_the_buffer_holds(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    console_init(&console, fileno(file));
    for (int i = 0; i < 20000; i++) {
        console_print(&console, "line %06d\n", i);
    }
    console_flush(&console);
    rewind(file);
    char line[32];
    char expected[32];
    for (int i = 0; i < 20000; i++) {
        assert_non_null(fgets(line, sizeof(line), file));
        snprintf(expected, sizeof(expected), "line %06d\n", i);
        assert_string_equal(line, expected);
    }
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
}

static void test_a_full_disk_is_remembered(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    console_init(&console, fd);
    console_print(&console, "lost");
    console_flush(&console);
    assert_int_equal(console.error_number, ENOSPC);
    close(fd);
}

/* Nobody reads the pipe, and Ctrl-C is pending: the console gives up. */
static void test_an_interruption_ends_a_blocked_write(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
        console_init(&console, ends[1]);
        for (int i = 0; i < 100000; i++) {
            console_print(&console, "more than a pipe holds\n");
        }
        console_flush(&console);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_written_before_flush),
        cmocka_unit_test(test_more_than_the_buffer_holds),
        cmocka_unit_test(test_a_full_disk_is_remembered),
        cmocka_unit_test(test_an_interruption_ends_a_blocked_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
