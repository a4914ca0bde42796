/* SPDX-License-Identifier: Apache-2.0 */
/* What the ring of the io_uring backend refuses: whoever owns the process must not do more with it than the backend. */

/* The backend itself, to reach the ring in it. */
#include "host/backends/io_uring.c"

#include <fcntl.h>
#include <sys/socket.h>

#include "test_backends_support.h"

#define LEN 65536u

static struct uring *uring;

static int ring_open(void **state UNUSED)
{
    if (directories_create(state) != 0) {
        return -1;
    }
    file_create_hole(image, LEN);
    uring = (struct uring *)open_backend(BACKEND_IO_URING, image, LEN, true);
    return uring == NULL ? -1 : 0;
}

static int ring_close(void **state)
{
    int result = backend_close(&uring->backend, true);
    unlink(image);
    return directories_remove(state) != 0 || result != 0 ? -1 : 0;
}

static struct io_uring_sqe *entry_take(void)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
    assert_non_null(entry);
    return entry;
}

/* Submits the entry that was taken last, and returns its result. */
static int entry_run(void)
{
    struct io_uring_cqe *completion;
    assert_int_equal(io_uring_submit(&uring->ring), 1);
    assert_int_equal(io_uring_wait_cqe(&uring->ring, &completion), 0);
    int result = completion->res;
    io_uring_cqe_seen(&uring->ring, completion);
    return result;
}

static void files_cannot_be_opened(void **state UNUSED)
{
    io_uring_prep_openat(entry_take(), AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
    assert_int_equal(entry_run(), -EACCES);
    struct io_uring_sqe *entry = entry_take();
    io_uring_prep_openat(entry, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
    io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
    assert_int_equal(entry_run(), -EACCES);
}

static void other_operations_are_refused(void **state UNUSED)
{
    io_uring_prep_nop(entry_take());
    assert_int_equal(entry_run(), -EACCES);
    io_uring_prep_socket(entry_take(), AF_INET, SOCK_STREAM, 0, 0);
    assert_int_equal(entry_run(), -EACCES);
    io_uring_prep_unlink(entry_take(), image, 0);
    assert_int_equal(entry_run(), -EACCES);
    struct io_uring_sqe *entry = entry_take();
    io_uring_prep_close(entry, uring->backend.fd);
    io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
    assert_int_equal(entry_run(), -EACCES);
}

static void descriptors_are_not_files_of_the_ring(void **state UNUSED)
{
    char byte = 0;
    struct iovec iov = {&byte, 1};
    io_uring_prep_readv(entry_take(), uring->backend.fd, &iov, 1, 0);
    assert_int_equal(entry_run(), -EACCES);
    io_uring_prep_writev(entry_take(), STDOUT_FILENO, &iov, 1, 0);
    assert_int_equal(entry_run(), -EACCES);
}

static void other_flags_are_refused(void **state UNUSED)
{
    struct io_uring_sqe *entry = entry_take();
    io_uring_prep_fsync(entry, REGISTERED_FILE, 0);
    io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE | IOSQE_ASYNC);
    assert_int_equal(entry_run(), -EACCES);
}

static void nothing_can_be_registered(void **state UNUSED)
{
    int fd = uring->backend.fd;
    assert_int_equal(register_raw(uring, IORING_REGISTER_FILES, &fd, 1), EACCES);
    assert_int_equal(register_raw(uring, IORING_UNREGISTER_EVENTFD, NULL, 0), EACCES);
    struct io_uring_restriction none = {0};
    assert_int_not_equal(register_raw(uring, IORING_REGISTER_RESTRICTIONS, &none, 1), 0);
}

static void the_file_itself_is_reached(void **state UNUSED)
{
    char text[] = "instar";
    char found[sizeof(text)] = {0};
    assert_int_equal(run_write(&uring->backend, 100, text, sizeof(text)), 0);
    assert_int_equal(run_read(&uring->backend, 100, found, sizeof(found)), 0);
    assert_string_equal(found, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_cannot_be_opened),
        cmocka_unit_test(other_operations_are_refused),
        cmocka_unit_test(descriptors_are_not_files_of_the_ring),
        cmocka_unit_test(other_flags_are_refused),
        cmocka_unit_test(nothing_can_be_registered),
        cmocka_unit_test(the_file_itself_is_reached),
    };
    return cmocka_run_group_tests(tests, ring_open, ring_close);
}
