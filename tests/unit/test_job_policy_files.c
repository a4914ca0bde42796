/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy and the file system: links, and what is no regular file. An inotify watch shows that what is refused
 * was never opened: the handle by which it is examined (O_PATH) does not count as open, and reads nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "test_job_policy_support.h"
#include "test_users.h"

#define NO_FILE "it is not a regular file"
#define LEADS_OUT "a link or mount on the way leads out of the allowed directory"
#define CIRCLES "a link on the way goes in circles, or is a magic one of /proc"
#define NOBODY 65534

/* How often a test tries to lose a race. */
#define RACE_ROUNDS 5000

static int watch_start(const char *path)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(inotify_add_watch(fd, path, IN_OPEN | IN_ACCESS) >= 0);
    return fd;
}

/* Whether somebody opened or read what is watched. */
static bool watch_end(int fd)
{
    char events[4096];
    bool has_events = read(fd, events, sizeof(events)) > 0;
    close(fd);
    return has_events;
}

/* `name` leads to `path`, and is refused without a look into it. */
static void assert_untouched(const char *name, const char *path, const char *reason)
{
    int watch = watch_start(path);
    assert_refused(name, reason);
    assert_false(watch_end(watch));
}

static void test_the_watch_sees_what_is_opened(void **state)
{
    (void)state;
    int watch = watch_start("images/base");
    assert_opens("base", "images/base");
    assert_true(watch_end(watch));
}

static void test_links_inside(void **state)
{
    (void)state;
    assert_int_equal(symlink("base", "images/link"), 0);
    assert_int_equal(symlink("../base", "images/sub/up"), 0);
    assert_int_equal(symlink("sub/deep", "images/deep"), 0);
    assert_opens("link", "images/base");
    assert_opens("sub/up", "images/base");
    assert_opens("deep/base", "images/sub/deep/base");
    /* As the kernel has it: from where the link led to. */
    assert_opens("deep/../base", "images/sub/base");
}

static void test_links_that_lead_out(void **state)
{
    (void)state;
    assert_int_equal(symlink("../secret", "images/relative"), 0);
    assert_int_equal(symlink(tree_path("secret"), "images/absolute"), 0);
    assert_int_equal(symlink("..", "images/up"), 0);
    assert_int_equal(symlink(tree_path(""), "images/up-absolute"), 0);
    assert_int_equal(symlink("relative", "images/twice"), 0);
    static const char *const names[] = {"relative", "absolute", "up/secret", "up-absolute/secret", "twice"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_untouched(names[i], "secret", LEADS_OUT);
    }
    assert_refused("up/missing", LEADS_OUT);
    assert_refused("up/images/base", LEADS_OUT);
}

/* ".." after a link leads elsewhere than it looks: to where the link's target lies. */
static void test_dots_after_a_link_out(void **state)
{
    (void)state;
    assert_int_equal(symlink("../store/sub", "images/link"), 0);
    assert_untouched("link/../base", "store/base", LEADS_OUT);
    allow("store"); /* no text of the name lies in there */
    assert_untouched("link/../base", "store/base", LEADS_OUT);
}

static void test_absolute_links_inside(void **state)
{
    (void)state;
    assert_int_equal(symlink(tree_path("images/base"), "images/link"), 0);
    assert_untouched("link", "images/base", LEADS_OUT);
    allow("/"); /* nothing leads out of it */
    assert_opens("link", "images/base");
}

static void test_links_in_circles(void **state)
{
    (void)state;
    assert_int_equal(symlink("b", "images/a"), 0);
    assert_int_equal(symlink("a", "images/b"), 0);
    assert_refused("a", CIRCLES);
}

static void test_links_to_nowhere(void **state)
{
    (void)state;
    assert_int_equal(symlink("missing", "images/link"), 0);
    assert_fails("link", "in what --backing-dir allows: No such file or directory");
}

/* Another allowed directory may hold what a link in the first one leads to. */
static void test_the_next_directory_is_tried(void **state)
{
    (void)state;
    assert_int_equal(symlink("../store", "images/store"), 0);
    assert_refused("store/base", LEADS_OUT);
    allow("");
    assert_opens("store/base", "store/base");
}

static void test_magic_links(void **state)
{
    (void)state;
    int fd = open("secret", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    assert_int_equal(symlink(name, "images/magic"), 0);
    assert_untouched("magic", "secret", LEADS_OUT);
    allow("/");
    assert_untouched("magic", "secret", LEADS_OUT); /* /proc is another file system */
    assert_untouched(name, "secret", LEADS_OUT);
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/root%s", (int)getpid(), tree_path("secret"));
    allow("/proc/self"); /* also from within */
    assert_untouched(path, "secret", CIRCLES);
    snprintf(path, sizeof(path), "/proc/%d/cwd/secret", (int)getpid());
    assert_untouched(path, "secret", CIRCLES);
    snprintf(name, sizeof(name), "/proc/%d/fd/%d", (int)getpid(), fd);
    assert_untouched(name, "secret", CIRCLES);
    snprintf(name, sizeof(name), "/proc/%d/maps", (int)getpid());
    assert_refused(name, "it is on a file system of the kernel's own");
    close(fd);
}

/* Without blocking until somebody writes, and without being its reader for a moment. */
static void test_fifos(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("images/fifo", 0600), 0);
    assert_int_equal(symlink("fifo", "images/link"), 0);
    alarm(30); /* instead of waiting for ever */
    assert_untouched("fifo", "images/fifo", NO_FILE);
    assert_untouched("link", "images/fifo", NO_FILE);
    alarm(0);
    /* Nor is there a reader left. */
    assert_int_equal(open("images/fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
    assert_int_equal(errno, ENXIO);
}

static void test_sockets(void **state)
{
    (void)state;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "images/socket"};
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_untouched("socket", "images/socket", NO_FILE);
    close(fd);
}

static void test_device_nodes(void **state)
{
    (void)state;
    if (mknod("images/character", S_IFCHR | 0666, makedev(1, 5)) != 0 ||
        mknod("images/block", S_IFBLK | 0666, makedev(7, 0)) != 0) {
        skip(); /* not root */
    }
    assert_untouched("character", "images/character", NO_FILE);
    assert_untouched("block", "images/block", NO_FILE);
    allow("/dev");
    assert_untouched("/dev/zero", "/dev/zero", NO_FILE);
}

/* As a user without rights, also when root runs the test. */
static void test_no_permission(void **state)
{
    (void)state;
    bool is_root = geteuid() == 0;
    if (is_root && !may_be_anybody()) {
        skip();
    }
    assert_int_equal(chmod("images/base", 0), 0);
    assert_int_equal(chmod("images/sub", 0), 0);
    assert_int_equal(is_root ? seteuid(NOBODY) : 0, 0);
    assert_fails("base", "cannot open 'base': Permission denied");
    assert_fails("sub/base", "Permission denied");
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod("images/sub", 0755), 0);
}

/* QEMU goes by the name that the user gave, wherever the image itself is. */
static void test_an_image_that_is_a_link(void **state)
{
    (void)state;
    assert_int_equal(symlink("../images/image", "store/image"), 0);
    struct policy_file file;
    struct span name = {(const uint8_t *)"base", 4};
    allow("store");
    struct policy_origin origin = origin_of("store/image");
    assert_true(policy_open(&policy, &origin, name, POLICY_BACKING, &file, NULL, &error));
    policy_directory_release(&origin.directory);
    assert_content(file.fd, "store/base");
    close(file.fd);
}

static void test_directories_are_held(void **state)
{
    (void)state;
    struct policy_origin image = origin_of("images/image");
    struct policy_file file;
    struct span name = {(const uint8_t *)"base", 4};
    allow("images/sub");
    assert_int_equal(rename("images/sub", "old-sub"), 0);
    assert_int_equal(symlink("../store", "images/sub"), 0);
    assert_int_equal(rename("images", "old"), 0);
    assert_int_equal(symlink("store", "images"), 0);
    /* Neither is what its path leads to now. */
    assert_true(policy_open(&policy, &image, name, POLICY_BACKING, &file, NULL, &error));
    assert_content(file.fd, "images/base");
    assert_string_equal(file.path, tree_path("old/base"));
    close(file.fd);
    struct span below = {(const uint8_t *)"sub/base", 8};
    assert_true(policy_open(&policy, &image, below, POLICY_BACKING, &file, NULL, &error));
    assert_content(file.fd, "images/sub/base");
    close(file.fd);
    policy_directory_release(&image.directory);
}

/* Exchanges a directory and a link that leads out, for as long as *context is set. */
static void *directory_swap(void *context)
{
    atomic_bool *goes_on = context;
    while (atomic_load(goes_on)) {
        renameat2(AT_FDCWD, "images/sub", AT_FDCWD, "images/link", RENAME_EXCHANGE);
    }
    return NULL;
}

static void test_a_directory_that_becomes_a_link_meanwhile(void **state)
{
    (void)state;
    atomic_bool goes_on = true;
    pthread_t thread;
    assert_int_equal(symlink("../store", "images/link"), 0);
    assert_int_equal(pthread_create(&thread, NULL, directory_swap, &goes_on), 0);
    struct span name = {(const uint8_t *)"sub/base", 8};
    struct policy_origin origin = origin_of("images/image");
    unsigned int open_count = 0;
    unsigned int wrong_count = 0;
    for (unsigned int i = 0; i < RACE_ROUNDS; i++) {
        struct policy_file file;
        struct error ignored = {0};
        char content[64] = "";
        if (policy_open(&policy, &origin, name, POLICY_BACKING, &file, NULL, &ignored)) {
            ssize_t len = read(file.fd, content, sizeof(content) - 1);
            open_count++;
            wrong_count += len != 15 || strcmp(content, "images/sub/base") != 0;
            close(file.fd);
        }
    }
    atomic_store(&goes_on, false);
    pthread_join(thread, NULL);
    policy_directory_release(&origin.directory);
    assert_int_equal(wrong_count, 0);
    assert_true(open_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_watch_sees_what_is_opened),
        TEST(test_links_inside),
        TEST(test_links_that_lead_out),
        TEST(test_dots_after_a_link_out),
        TEST(test_absolute_links_inside),
        TEST(test_links_in_circles),
        TEST(test_links_to_nowhere),
        TEST(test_the_next_directory_is_tried),
        TEST(test_magic_links),
        TEST(test_fifos),
        TEST(test_sockets),
        TEST(test_device_nodes),
        TEST(test_no_permission),
        TEST(test_an_image_that_is_a_link),
        TEST(test_directories_are_held),
        TEST(test_a_directory_that_becomes_a_link_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
