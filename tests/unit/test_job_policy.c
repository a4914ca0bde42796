/* SPDX-License-Identifier: Apache-2.0 */
/* The policy's rules: names, and the directories that are allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_job_policy_support.h"

#define PROTOCOL "names with a protocol are never followed"
#define NO_FILE "it is not a regular file"
#define LEADS_OUT "a link or mount on the way leads out of the allowed directory"

/* The end of a refusal of what lies in a directory of the tree. */
static const char *outside(const char *directory)
{
    static char text[PATH_MAX];
    snprintf(text, sizeof(text),
             "it is outside of what is allowed; allow with --backing-dir %s, or with --backing-file",
             directory[0] == '/' ? directory : tree_path(directory));
    return text;
}

static void test_relative_names(void **state)
{
    (void)state;
    assert_opens("base", "images/base");
    assert_opens("./base", "images/base");
    assert_opens("sub/base", "images/sub/base");
    assert_opens("sub//deep/./base", "images/sub/deep/base");
    assert_opens("image", "images/image");
}

static void test_absolute_names(void **state)
{
    (void)state;
    assert_opens(tree_path("images/base"), "images/base");
    assert_opens(tree_path("images/sub/base"), "images/sub/base");
    assert_refused(tree_path("store/base"), outside("store"));
    assert_refused("/etc/passwd", outside("/etc"));
    assert_refused("/etc", outside("/"));
}

static void test_dots_inside(void **state)
{
    (void)state;
    assert_opens("sub/../base", "images/base");
    assert_opens("../images/base", "images/base");
    assert_opens("sub/deep/../../../images/sub/base", "images/sub/base");
    assert_opens(tree_path("store/../images/base"), "images/base");
}

static void test_dots_outside(void **state)
{
    (void)state;
    assert_refused("../secret", outside(""));
    assert_refused("../store/base", outside("store"));
    assert_refused("sub/../../secret", outside(""));
    assert_refused("../../../../../../../../etc/passwd", outside("/etc"));
    assert_refused("..", outside("/tmp"));
    assert_refused("/", outside("/"));
    /* No name in a directory whose name only begins the same. */
    assert_int_equal(mkdir("images2", 0755), 0);
    assert_refused("../images2/base", outside("images2"));
}

static void test_what_is_missing(void **state)
{
    (void)state;
    assert_fails("missing", "in what --backing-dir allows: No such file or directory");
    assert_non_null(strstr(error.detail, "cannot open 'missing'"));
    assert_string_equal(error.place, ""); /* the caller's: the image */
    assert_fails("sub/missing/base", "in what --backing-dir allows: No such file or directory");
    assert_fails("base/below", "in what --backing-dir allows: Not a directory");
}

/* Whether a file is there is not told of one that is not allowed. */
static void test_outside_nothing_is_looked_at(void **state)
{
    (void)state;
    assert_refused("../missing", outside(""));
    assert_refused("/missing/file", outside("/missing"));
}

static void test_directories_are_no_files(void **state)
{
    (void)state;
    assert_refused(".", NO_FILE);
    assert_refused("sub", NO_FILE);
    assert_refused("sub/", NO_FILE);
    assert_refused("sub/..", NO_FILE);
    assert_refused("../images", NO_FILE);
    assert_fails("base/", "in what --backing-dir allows: Not a directory");
    assert_fails("base/.", "in what --backing-dir allows: Not a directory");
}

static void test_empty_names(void **state)
{
    (void)state;
    assert_refused("", "the name is empty");
    assert_refused("file:", "the name is empty");
}

static void test_protocols(void **state)
{
    (void)state;
    static const char *const names[] = {
        "nbd:unix:/run/nbd.sock",
        "nbd://localhost/export",
        "json:{\"driver\":\"file\",\"filename\":\"base\"}",
        "http://localhost/base",
        "https://localhost/base",
        "fat:/etc",
        "fat:rw:.",
        "host_device:/dev/sda",
        "FILE:base",
        ":base",
        "base:1",
        "C:\\base",
        "rbd:pool/image",
        "data:",
        "::",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_refused(names[i], PROTOCOL);
    }
    /* A slash before the colon makes it a file. */
    assert_fails("./nbd:base", "in what --backing-dir allows: No such file or directory");
    assert_fails("sub/nbd:base", "in what --backing-dir allows: No such file or directory");
}

static void test_the_file_protocol(void **state)
{
    (void)state;
    assert_opens("file:base", "images/base");
    assert_opens("file:sub/base", "images/sub/base");
    char name[PATH_MAX];
    snprintf(name, sizeof(name), "file:%s", tree_path("images/base"));
    assert_opens(name, "images/base");
    snprintf(name, sizeof(name), "file://%s", tree_path("images/base"));
    assert_opens(name, "images/base");
    assert_refused("file:../secret", outside(""));
    assert_refused("file:/etc/passwd", outside("/etc"));
    /* What follows is a name, not another protocol. */
    assert_fails("file:nbd:base", "in what --backing-dir allows: No such file or directory");
    assert_fails("file:file:base", "in what --backing-dir allows: No such file or directory");
}

/* Raw in the error: whoever prints it escapes it. */
static void test_odd_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"a\nb", "\x1b[2Jgone", "\xff\xfe", "a b", " ", "-rf", "%s%n", "\xe2\x80\xae"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "cannot open '%s' in what --backing-dir allows: No such file or directory",
                 names[i]);
        assert_fails(names[i], path);
        snprintf(path, sizeof(path), "images/%s", names[i]);
        assert_int_equal(link("images/base", path), 0);
        assert_opens(names[i], "images/base");
    }
    assert_opens("base", "images/base"); /* with many names, in a directory that the user allowed */
    assert_refused("/a\nb/c", "allow with --backing-dir /a\nb, or with --backing-file");
    assert_string_equal(error.detail, "refused to open '/a\nb/c': it is outside of what is allowed; allow with "
                                      "--backing-dir /a\nb, or with --backing-file");
}

static void test_zero_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } names[] = {{"base\0", 5}, {"\0", 1}, {"ba\0se", 5}, {"base\0/../../secret", 18}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct policy_file file;
        error = (struct error){0};
        struct span name = {(const uint8_t *)names[i].bytes, names[i].len};
        struct policy_origin origin = origin_of("images/image");
        assert_false(policy_open(&policy, &origin, name, POLICY_BACKING, &file, NULL, &error));
        policy_directory_release(&origin.directory);
        assert_int_equal(error.kind, ERROR_REFUSED);
        assert_non_null(strstr(error.detail, "the name contains a zero byte"));
    }
}

static char *name_of_len(size_t len)
{
    char *name = malloc(len + 1);
    memset(name, 'a', len);
    name[len] = '\0';
    return name;
}

static void test_long_names(void **state)
{
    (void)state;
    static const size_t lens[] = {PATH_MAX - 10, PATH_MAX - 1, PATH_MAX, PATH_MAX + 1, 1048576};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        char *name = name_of_len(lens[i]);
        assert_refused(name, "(cut): the name is too long");
        free(name);
    }
    char *name = name_of_len(300);
    assert_fails(name, "in what --backing-dir allows: File name too long");
    free(name);
    /* Long, but leading to a file: the kernel's limit is ours. */
    name = name_of_len(4000);
    for (size_t i = 0; i < 4000; i++) {
        name[i] = i % 2 == 0 ? '.' : '/';
    }
    memcpy(name + 4000 - 4, "base", 4);
    assert_opens(name, "images/base");
    free(name);
}

/* An option that is cut would be wrong. */
static void test_advice_is_never_cut(void **state)
{
    (void)state;
    char name[PATH_MAX];
    for (size_t len = 60; len < 200; len++) {
        char *directory = name_of_len(len);
        snprintf(name, sizeof(name), "/%s/base", directory);
        bool fits = len + 1 <= 64;
        char advice[PATH_MAX];
        snprintf(advice, sizeof(advice), "; allow with --backing-dir /%s, or with --backing-file", directory);
        assert_refused(name, fits ? advice : "; allow with --backing-dir DIR, or with --backing-file");
        free(directory);
    }
}

static void test_no_backing(void **state)
{
    (void)state;
    allow("/");
    allow_file("secret");
    policy.allows_beside = true;
    assert_true(policy_allows_something(&policy));
    policy.no_backing = true;
    assert_false(policy_allows_something(&policy));
    static const char *const names[] = {"base", "/etc/passwd", "missing"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_refused(names[i], "no file that an image names is allowed (--no-backing)");
    }
    assert_refused("nbd:x", "names with a protocol are never followed");
    assert_refused("", "the name is empty");
}

static void test_other_directories(void **state)
{
    (void)state;
    assert_refused("../store/base", outside("store"));
    allow("store");
    assert_opens("../store/base", "store/base");
    assert_opens("../store/sub/base", "store/sub/base");
    assert_opens(tree_path("store/base"), "store/base");
    assert_opens("base", "images/base"); /* as before */
    assert_refused("../secret", outside(""));
    assert_refused(tree_path("store/../secret"), outside(""));
    allow("images/sub");
    allow("");
    assert_opens("../secret", "secret");
}

/* It is one file system, as every directory is. */
static void test_the_root(void **state)
{
    (void)state;
    struct stat root;
    struct stat here;
    assert_int_equal(stat("/", &root) | stat(".", &here), 0);
    allow("/");
    if (root.st_dev == here.st_dev) {
        assert_opens("../secret", "secret");
        assert_opens(tree_path("store/base"), "store/base");
    }
    assert_opens("../../../../../../../../../../etc/../etc/passwd", NULL);
    assert_refused("../../../../../../../../../../etc/../proc/sys/kernel/ostype", LEADS_OUT);
    assert_refused("/proc/version", LEADS_OUT);
    assert_refused("/sys/kernel/uevent_seqnum", LEADS_OUT);
    assert_refused("/", NO_FILE);
    assert_fails("/missing", "in what --backing-dir allows: No such file or directory");
}

static void test_directories_by_any_name(void **state)
{
    (void)state;
    assert_int_equal(symlink("store", "link"), 0);
    assert_int_equal(symlink("store", "other_link"), 0);
    error = (struct error){0};
    assert_true(policy_allow(&policy, "link/", &error));
    assert_string_equal(policy.directories[1].path, tree_path("store"));
    assert_opens("../store/base", "store/base");
    assert_opens("../link/base", "store/base"); /* the name that it was given */
    assert_refused("../other_link/base", outside("other_link"));
    assert_true(policy_allow(&policy, "images/sub/..", &error));
    assert_string_equal(policy.directories[2].path, tree_path("images"));
    assert_true(policy_allow(&policy, ".", &error));
    assert_opens("../other_link/base", "store/base");
}

static void assert_not_allowed(const char *directory, const char *detail)
{
    error = (struct error){0};
    assert_false(policy_allow(&policy, directory, &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.place, directory);
    assert_string_equal(error.detail, detail);
}

static void test_what_is_no_directory(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_not_allowed("missing", "cannot use as a directory for backing files: No such file or directory");
    assert_not_allowed("secret", "cannot use as a directory for backing files: Not a directory");
    assert_not_allowed("fifo", "cannot use as a directory for backing files: Not a directory");
    assert_not_allowed("", "cannot use as a directory for backing files: No such file or directory");
    assert_int_equal(policy.directory_count, 1);
}

static void test_too_many_directories(void **state)
{
    (void)state;
    for (unsigned int i = 1; i < POLICY_DIRECTORY_MAX; i++) {
        allow(i % 2 == 0 ? "store" : "images");
    }
    assert_not_allowed("store", "more than 64 directories for backing files");
    assert_opens("../store/base", "store/base");
}

static void test_what_is_opened(void **state)
{
    (void)state;
    struct policy_file file;
    struct policy_directory place;
    struct policy_origin image = origin_of("images/image");
    struct span name = {(const uint8_t *)"sub/./deep/../base", 18};
    assert_string_equal(image.directory.path, tree_path("images"));
    assert_true(policy_open(&policy, &image, name, POLICY_BACKING, &file, &place, &error));
    assert_string_equal(file.path, tree_path("images/sub/base"));
    assert_string_equal(place.path, tree_path("images/sub"));
    assert_int_equal(file.status.st_size, strlen("images/sub/base"));
    assert_int_equal(fcntl(file.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_PATH), O_RDONLY);
    assert_int_equal(fcntl(file.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(place.fd, F_GETFD), FD_CLOEXEC);
    assert_content(file.fd, "images/sub/base");
    close(file.fd);
    policy_directory_release(&place);
    policy_directory_release(&image.directory);
    policy_directory_release(&image.directory); /* a second time does nothing */
}

static void test_directories_of_images(void **state)
{
    (void)state;
    struct policy_directory directory;
    assert_int_equal(chdir("images"), 0);
    assert_true(policy_directory_open("image", &directory, &error));
    assert_string_equal(directory.path, tree_path("images"));
    policy_directory_release(&directory);
    assert_true(policy_directory_open("/not-there-yet", &directory, &error));
    assert_string_equal(directory.path, "/");
    policy_directory_release(&directory);
    assert_false(policy_directory_open("missing/image", &directory, &error));
    assert_int_equal(error.kind, ERROR_IO);
    assert_string_equal(error.place, "missing/image");
    assert_string_equal(error.detail, "cannot open its directory: No such file or directory");
    error = (struct error){0};
    char *name = name_of_len(PATH_MAX + 1);
    name[PATH_MAX] = '/';
    assert_false(policy_directory_open(name, &directory, &error));
    assert_string_equal(error.detail, "cannot open its directory: File name too long");
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_relative_names),
        TEST(test_absolute_names),
        TEST(test_dots_inside),
        TEST(test_dots_outside),
        TEST(test_what_is_missing),
        TEST(test_outside_nothing_is_looked_at),
        TEST(test_directories_are_no_files),
        TEST(test_empty_names),
        TEST(test_protocols),
        TEST(test_the_file_protocol),
        TEST(test_odd_bytes),
        TEST(test_zero_bytes),
        TEST(test_long_names),
        TEST(test_advice_is_never_cut),
        TEST(test_no_backing),
        TEST(test_other_directories),
        TEST(test_the_root),
        TEST(test_directories_by_any_name),
        TEST(test_what_is_no_directory),
        TEST(test_too_many_directories),
        TEST(test_what_is_opened),
        TEST(test_directories_of_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
