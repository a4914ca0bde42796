/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/job/files/files.h"
#include "host/job/parent/listener.h"
#include "test_job_support.h"

static void assert_refused(const char *path, enum error_kind kind, const char *detail)
{
    struct input_file input;
    struct error error = {0};
    assert_false(input_file_open(&input, path, 0, &error));
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.place, path);
    assert_string_equal(error.detail, detail);
}

static void test_a_regular_file(void **state)
{
    (void)state;
    file_make("input", "0123456789");
    struct input_file input;
    struct error error = {0};
    assert_true(input_file_open(&input, "input", 0, &error));
    assert_int_equal(input.len, 10);
    assert_true(input.is_regular);
    int flags = fcntl(input.fd, F_GETFL);
    assert_int_equal(flags & O_ACCMODE, O_RDONLY);
    assert_int_equal(flags & O_NONBLOCK, 0);
    assert_int_equal(fcntl(input.fd, F_GETFD), FD_CLOEXEC);
    input_file_close(&input);
    assert_int_equal(input.fd, -1);
}

static void test_an_empty_file(void **state)
{
    (void)state;
    file_make("input", "");
    struct input_file input;
    struct error error = {0};
    assert_true(input_file_open(&input, "input", 0, &error));
    assert_int_equal(input.len, 0);
    input_file_close(&input);
}

static void test_names_of_one_file_have_one_identity(void **state)
{
    (void)state;
    struct error error = {0};
    struct input_file files[4];
    file_make("input", "x");
    file_make("other", "x");
    assert_int_equal(link("input", "hard"), 0);
    assert_int_equal(symlink("input", "soft"), 0);
    const char *const names[] = {"input", "hard", "soft", "other"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(input_file_open(&files[i], names[i], 0, &error));
        input_file_close(&files[i]);
    }
    assert_true(file_identity_equal(&files[0].identity, &files[1].identity));
    assert_true(file_identity_equal(&files[0].identity, &files[2].identity));
    assert_false(file_identity_equal(&files[0].identity, &files[3].identity));
}

static void test_nodes_of_one_device_have_one_identity(void **state)
{
    (void)state;
    struct stat a = {.st_mode = S_IFBLK | 0600, .st_rdev = 0x800, .st_dev = 1, .st_ino = 1};
    struct stat b = {.st_mode = S_IFBLK | 0600, .st_rdev = 0x800, .st_dev = 2, .st_ino = 7};
    struct stat other = {.st_mode = S_IFBLK | 0600, .st_rdev = 0x801, .st_dev = 1, .st_ino = 1};
    struct stat regular = {.st_mode = S_IFREG | 0600, .st_dev = 0x800};
    struct file_identity identity = file_identity(&a);
    struct file_identity same = file_identity(&b);
    struct file_identity different = file_identity(&other);
    struct file_identity file = file_identity(&regular);
    assert_true(file_identity_equal(&identity, &same));
    assert_false(file_identity_equal(&identity, &different));
    assert_false(file_identity_equal(&identity, &file));
}

static void test_a_missing_file(void **state)
{
    (void)state;
    assert_refused("missing", ERROR_IO, "cannot open: No such file or directory");
    assert_refused("missing/file", ERROR_IO, "cannot open: No such file or directory");
}

static void test_an_empty_name(void **state)
{
    (void)state;
    struct input_file input;
    struct error error = {0};
    assert_false(input_file_open(&input, "", 0, &error));
    assert_string_equal(error.detail, "the name of the input is empty");
}

static void test_a_directory_is_refused(void **state)
{
    (void)state;
    assert_refused(".", ERROR_USAGE, "is a directory");
}

/* Without blocking until somebody writes to it. */
static void test_a_fifo_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_refused("fifo", ERROR_USAGE, "is a FIFO, not a regular file or block device");
}

static void test_a_socket_is_refused(void **state)
{
    (void)state;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_refused("socket", ERROR_USAGE, "is a socket, not a regular file or block device");
    close(fd);
}

static void test_a_character_device_is_refused(void **state)
{
    (void)state;
    assert_refused("/dev/zero", ERROR_USAGE, "is a character device, not a regular file or block device");
}

static void test_a_file_without_permission(void **state)
{
    (void)state;
    file_make("secret", "x");
    assert_int_equal(chmod("secret", 0), 0);
    if (geteuid() != 0) {
        assert_refused("secret", ERROR_IO, "cannot open: Permission denied");
    }
}

static void test_full_disks_have_a_kind_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(file_error_kind(ENOSPC), ERROR_NO_SPACE);
    assert_int_equal(file_error_kind(EDQUOT), ERROR_NO_SPACE);
    assert_int_equal(file_error_kind(EFBIG), ERROR_NO_SPACE);
    assert_int_equal(file_error_kind(EIO), ERROR_IO);
}

static int socket_connect(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_true(fd >= 0);
    int result = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    close(fd);
    return result;
}

static void test_a_listener_takes_its_name_away(void **state)
{
    (void)state;
    struct listener listener;
    struct error error = {0};
    assert_true(listener_open(&listener, "socket", &error));
    assert_int_equal(socket_connect("socket"), 0);
    listener_close(&listener);
    assert_int_equal(socket_connect("socket"), ECONNREFUSED);
    listener_remove(&listener);
    assert_int_equal(directory_count(), 0);
    listener_remove(&listener); /* once more is nothing */
}

static void test_a_listener_leaves_what_it_did_not_make(void **state)
{
    (void)state;
    struct listener listener;
    struct error error = {0};
    file_make("socket", "mine");
    assert_false(listener_open(&listener, "socket", &error));
    assert_int_equal(error.kind, ERROR_IO);
    assert_string_equal(error.detail, "cannot make a socket: Address already in use");
    listener_remove(&listener);
    assert_file_content("socket", "mine");
    assert_true(listener_open(&listener, NULL, &error));
    assert_int_equal(listener.fd, -1);
    listener_remove(&listener);
}

/* The longest name that fits an address with its end, and the next one. */
static void test_a_listener_with_a_long_name(void **state)
{
    (void)state;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = {0};
    struct listener listener;
    struct error error = {0};
    memset(path, 's', sizeof(path) - 2);
    assert_true(listener_open(&listener, path, &error));
    assert_true(file_exists(path));
    listener_remove(&listener);
    path[sizeof(path) - 2] = 's';
    assert_false(listener_open(&listener, path, &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.detail, "the socket's name is too long");
    assert_int_equal(directory_count(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, directory_enter, directory_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_regular_file),
        TEST(test_an_empty_file),
        TEST(test_names_of_one_file_have_one_identity),
        TEST(test_nodes_of_one_device_have_one_identity),
        TEST(test_a_missing_file),
        TEST(test_an_empty_name),
        TEST(test_a_directory_is_refused),
        TEST(test_a_fifo_is_refused),
        TEST(test_a_socket_is_refused),
        TEST(test_a_character_device_is_refused),
        TEST(test_a_file_without_permission),
        TEST(test_full_disks_have_a_kind_of_their_own),
        TEST(test_a_listener_takes_its_name_away),
        TEST(test_a_listener_leaves_what_it_did_not_make),
        TEST(test_a_listener_with_a_long_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
