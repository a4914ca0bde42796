/* SPDX-License-Identifier: Apache-2.0 */
/* Backends when things go wrong: files that shrink, full disks, limits, systems that lack something. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "test_backends_support.h"

/* Those that see the file itself, not a copy of it. */
static const enum backend_kind file_kinds[] = {BACKEND_REGULAR, BACKEND_DIRECT, BACKEND_MMAP, BACKEND_IO_URING};

/* A file shrinks to a length within a block, on a block, or to nothing, below an open backend. */
static void shrink(enum backend_kind kind, uint64_t shrunk_len)
{
    size_t len = 200000;
    uint8_t *content = malloc(len);
    uint8_t *found = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create(image, content, len);
    struct backend *backend = open_backend(kind, image, len, false);
    assert_int_equal(run_read(backend, 0, found, len), 0);
    assert_int_equal(truncate(image, (off_t)shrunk_len), 0);
    assert_int_equal(run_read(backend, 0, found, len), EIO);
    assert_int_equal(run_read(backend, shrunk_len, found, 1), EIO);
    assert_int_equal(run_read(backend, 131072, found, 4096), EIO);
    assert_int_equal(run_read(backend, len - 1, found, 1), EIO);
    if (shrunk_len > 0) {
        assert_int_equal(run_read(backend, 0, found, shrunk_len), 0);
        assert_memory_equal(found, content, shrunk_len);
        assert_int_equal(run_read(backend, shrunk_len - 1, found, 2), EIO);
    }
    struct backend_extent extent;
    assert_int_equal(backend_extent(backend, 131072, &extent), 0);
    assert_int_equal(extent.off, 131072);
    assert_int_equal(extent.len, len - 131072);
    assert_int_equal(extent.kind, BACKEND_EXTENT_DATA); /* not a hole, whose zeros would be believed */
    assert_int_equal(backend_close(backend, true), 0);
    free(content);
    free(found);
}

static void test_a_shrunk_file_is_an_error(void **state UNUSED)
{
    static const uint64_t lens[] = {0, 1, 4096, 65536, 100000};
    for (unsigned int kind = 0; kind < ARRAY_COUNT(file_kinds); kind++) {
        for (unsigned int i = 0; i < ARRAY_COUNT(lens); i++) {
            shrink(file_kinds[kind], lens[i]);
        }
    }
}

/* A write that meets the end of a shrunk file makes the file grow again, by whatever way it goes. */
static void test_a_write_to_a_shrunk_file_is_not_lost(void **state UNUSED)
{
    uint8_t content[20000];
    uint8_t found[20000];
    pattern_fill(content, 0, sizeof(content), 1);
    for (unsigned int kind = 0; kind < ARRAY_COUNT(file_kinds); kind++) {
        file_create(image, content, sizeof(content));
        struct backend *backend = open_backend(file_kinds[kind], image, sizeof(content), true);
        assert_int_equal(run_read(backend, 0, found, sizeof(found)), 0);
        assert_int_equal(truncate(image, 10), 0);
        assert_int_equal(run_write(backend, 20, content + 20, 30), 0);
        assert_int_equal(file_len(image), 50);
        assert_int_equal(run_write(backend, 9000, content + 9000, 11000), 0);
        assert_int_equal(run_read(backend, 9000, found, 11000), 0);
        assert_memory_equal(found, content + 9000, 11000);
        assert_int_equal(backend_close(backend, true), 0);
        memset(content + 10, 0, 10);
        memset(content + 50, 0, 8950);
        assert_file_is(image, content, sizeof(content));
    }
}

/* Writes until the disk is full; the backend stays usable for what fits. */
static void fill_disk(enum backend_kind kind, const char *path)
{
    size_t len = 4 * MIB;
    uint8_t *content = malloc(len);
    pattern_fill(content, 0, len, 1);
    file_create_hole(path, len);
    struct backend *backend = try_backend(kind, path, len, true);
    if (backend != NULL && kind == BACKEND_MEMORY) {
        assert_int_equal(run_write(backend, 0, content, len), 0);
        assert_int_equal(backend_close(backend, true), ENOSPC);
    } else if (backend != NULL) {
        assert_int_equal(run_write(backend, 0, content, 2 * MIB), ENOSPC);
        assert_int_equal(run_range(backend, BACKEND_WRITE_ZEROES, 2 * MIB, 2 * MIB, false), ENOSPC);
        assert_int_equal(run_range(backend, BACKEND_DISCARD, 0, len, false), 0);
        assert_int_equal(run_write(backend, MIB, content, 65537), 0);
        assert_int_equal(run_read(backend, MIB, content + MIB, 65537), 0);
        assert_memory_equal(content + MIB, content, 65537);
        assert_int_equal(backend_close(backend, true), 0);
    }
    assert_int_equal(file_len(path), len);
    assert_int_equal(unlink(path), 0);
    free(content);
}

static void test_a_full_disk_is_an_error(void **state UNUSED)
{
    char small[PATH_LEN + 16];
    char path[PATH_LEN + 32];
    snprintf(small, sizeof(small), "%s/small", directory);
    snprintf(path, sizeof(path), "%s/image", small);
    assert_int_equal(mkdir(small, 0700), 0);
    /* A mount that nobody else sees. */
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", small, "tmpfs", 0, "size=1m") != 0) {
        rmdir(small);
        skip();
    }
    for (unsigned int kind = 0; kind < KIND_COUNT; kind++) {
        fill_disk((enum backend_kind)kind, path);
    }
    assert_int_equal(umount(small), 0);
    assert_int_equal(rmdir(small), 0);
}

static void test_the_file_size_limit_is_an_error(void **state UNUSED)
{
    static const enum backend_kind kinds[] = {BACKEND_REGULAR, BACKEND_DIRECT, BACKEND_IO_URING};
    uint8_t *content = malloc(2 * MIB);
    pattern_fill(content, 0, 2 * MIB, 1);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (unsigned int i = 0; i < ARRAY_COUNT(kinds); i++) {
        file_create_hole(image, 2 * MIB);
        struct backend *backend = open_backend(kinds[i], image, 2 * MIB, true);
        struct rlimit small = {.rlim_cur = MIB, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        int across = run_write(backend, 0, content, 2 * MIB);
        int beyond = run_write(backend, MIB, content, 10);
        int within = run_write(backend, MIB - 10, content, 10);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(across, EFBIG);
        assert_int_equal(beyond, EFBIG);
        assert_int_equal(within, 0);
        assert_int_equal(backend_close(backend, true), 0);
    }
    free(content);
}

/* procfs knows neither O_DIRECT nor mmap. */
static void test_what_the_file_cannot_do_is_told_at_open(void **state UNUSED)
{
    static const enum backend_kind kinds[] = {BACKEND_DIRECT, BACKEND_MMAP};
    static const enum error_kind expected[] = {ERROR_UNSUPPORTED, ERROR_IO};
    for (unsigned int i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct error error = {0};
        int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        struct backend_config config = {.kind = kinds[i], .path = "/proc/version", .fd = fd, .len = 10};
        assert_null(backend_open(&config, &error));
        assert_int_equal(error.kind, expected[i]);
        assert_string_equal(error.place, "/proc/version");
        assert_int_equal(fcntl(fd, F_GETFD), -1);
    }
}

/* A process without a free descriptor: whoever needs one fails, names the file, and leaves none behind. */
static void test_a_failed_open_closes_the_file(void **state UNUSED)
{
    static const enum backend_kind kinds[] = {BACKEND_DIRECT, BACKEND_IO_URING, BACKEND_MEMORY};
    file_create_hole(image, 5000);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned int i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct error error = {0};
        int fd = open(image, O_RDWR | O_CLOEXEC);
        struct backend_config config = {.kind = kinds[i], .path = image, .fd = fd, .len = 5000, .writable = true};
        struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        struct backend *backend = backend_open(&config, &error);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_null(backend);
        assert_string_equal(error.place, image);
        assert_non_null(strstr(error.detail, strerror(EMFILE)));
        assert_int_equal(fcntl(fd, F_GETFD), -1);
    }
    assert_int_equal(backend_close(NULL, true), 0);
}

/* Runs `body` in a child process and returns how that ended, as waitpid tells. */
static int in_child(void (*body)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        body();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void refuse_io_uring(int with_errno)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)with_errno),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(code), .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void open_without_io_uring(void)
{
    refuse_io_uring(EPERM);
    struct error error = {0};
    struct backend_config config = {.kind = BACKEND_IO_URING, .path = image, .fd = open(image, O_RDONLY), .len = 5};
    if (backend_open(&config, &error) != NULL || error.kind != ERROR_HOST || strcmp(error.place, image) != 0 ||
        strstr(error.detail, "io_uring is not available") == NULL) {
        _exit(1);
    }
}

static void test_no_io_uring_is_told_at_open(void **state UNUSED)
{
    file_create_hole(image, 5);
    assert_int_equal(in_child(open_without_io_uring), 0);
}

/* Touches a mapping behind the end of its file, which is not a backend's. */
static void raise_foreign_sigbus(void)
{
    struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    struct backend *backend = open_backend(BACKEND_MMAP, image, 5000, false);
    uint8_t byte;
    run_read(backend, 0, &byte, 1);
    int fd = open(image, O_RDWR | O_CLOEXEC);
    volatile uint8_t *mapping = mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ftruncate(fd, 0) == 0) {
        mapping[0] = 1;
    }
}

static void leave_42(int signal_number UNUSED, siginfo_t *information UNUSED, void *context UNUSED)
{
    _exit(42);
}

static void leave_43(int signal_number UNUSED)
{
    _exit(43);
}

static void raise_foreign_sigbus_with_information(void)
{
    struct sigaction action = {.sa_sigaction = leave_42, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    raise_foreign_sigbus();
}

static void raise_foreign_sigbus_with_handler(void)
{
    signal(SIGBUS, leave_43);
    raise_foreign_sigbus();
}

static void send_sigbus(void)
{
    struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    open_backend(BACKEND_MMAP, image, 5000, false);
    raise(SIGBUS);
}

static void test_a_foreign_sigbus_is_passed_on(void **state UNUSED)
{
    file_create_hole(image, 5000);
    int status = in_child(raise_foreign_sigbus);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    file_create_hole(image, 5000);
    status = in_child(send_sigbus);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = in_child(raise_foreign_sigbus_with_information);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    file_create_hole(image, 5000);
    status = in_child(raise_foreign_sigbus_with_handler);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 43);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_shrunk_file_is_an_error),
        cmocka_unit_test(test_a_write_to_a_shrunk_file_is_not_lost),
        cmocka_unit_test(test_a_full_disk_is_an_error),
        cmocka_unit_test(test_the_file_size_limit_is_an_error),
        cmocka_unit_test(test_what_the_file_cannot_do_is_told_at_open),
        cmocka_unit_test(test_a_failed_open_closes_the_file),
        cmocka_unit_test(test_no_io_uring_is_told_at_open),
        cmocka_unit_test(test_a_foreign_sigbus_is_passed_on),
    };
    return cmocka_run_group_tests_name("backends: faults", tests, directories_create, directories_remove);
}
