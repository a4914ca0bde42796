/* SPDX-License-Identifier: Apache-2.0 */
/* What the user chooses: nothing (the default), what is beside an image, single files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include "test_job_policy_support.h"

#define NOWHERE "images lead nowhere; allow what is beside them with --backing=beside, or the file with --backing-file"
#define NOT_BESIDE "No such file or directory (or none that --backing=beside allows; --backing-file FILE allows others)"
#define SOMEBODY 1234

static void test_by_default_images_lead_nowhere(void **state)
{
    (void)state;
    static const char *const names[] = {"base", "sub/base", "missing", "image", ".", "./base", "sub/../base"};
    assert_false(policy_allows_something(&policy));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_refused(names[i], NOWHERE);
    }
    assert_refused(tree_path("images/base"), NOWHERE);
    assert_refused(tree_path("images/missing"), NOWHERE);
    assert_refused("/etc/passwd", "allow with --backing-dir /etc, or with --backing-file");
    assert_refused("/etc/missing", "allow with --backing-dir /etc, or with --backing-file");
    struct policy_origin image = origin_of("images/image");
    struct policy_file file;
    struct span name = {(const uint8_t *)"base", 4};
    error = (struct error){0};
    assert_false(policy_open(&policy, &image, name, POLICY_DATA, &file, NULL, &error));
    assert_non_null(strstr(error.detail, "or the file with --data-file"));
    policy_directory_release(&image.directory);
}

static void test_beside(void **state)
{
    (void)state;
    policy.allows_beside = true;
    assert_true(policy_allows_something(&policy));
    assert_opens("base", "images/base");
    assert_opens("sub/deep/../base", "images/sub/base");
    assert_opens(tree_path("images/base"), "images/base");
    assert_opens("../images/base", "images/base");
    assert_refused("../secret", "or with --backing-file");
    assert_refused("/etc/passwd", "allow with --backing-dir /etc, or with --backing-file");
    assert_int_equal(symlink("sub/base", "images/link"), 0);
    assert_opens("link", "images/sub/base");
}

/* Names in a file start in its directory, and stay in it. */
static void test_beside_what_is_beside(void **state)
{
    (void)state;
    policy.allows_beside = true;
    struct policy_origin image = origin_of("images/image");
    struct policy_file file;
    struct policy_origin below = {.owner = getuid()};
    struct span name = {(const uint8_t *)"sub/base", 8};
    struct span up = {(const uint8_t *)"../base", 7};
    struct span down = {(const uint8_t *)"deep/base", 9};
    assert_true(policy_open(&policy, &image, name, POLICY_BACKING, &file, &below.directory, &error));
    close(file.fd);
    assert_false(policy_open(&policy, &below, up, POLICY_BACKING, &file, NULL, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_true(policy_open(&policy, &below, down, POLICY_BACKING, &file, NULL, &error));
    assert_content(file.fd, "images/sub/deep/base");
    close(file.fd);
    policy_directory_release(&below.directory);
    policy_directory_release(&image.directory);
}

/* One error for what is not there and for what is none of the image's business. */
static void assert_not_beside(const char *name)
{
    char detail[512];
    snprintf(detail, sizeof(detail), "cannot open '%s': " NOT_BESIDE, name);
    assert_fails(name, detail);
    assert_string_equal(error.place, "");
}

static void test_hidden_names(void **state)
{
    (void)state;
    policy.allows_beside = true;
    assert_int_equal(mkdir("images/.ssh", 0755), 0);
    assert_int_equal(link("images/base", "images/.ssh/id_rsa"), 0);
    assert_int_equal(rename("images/base", "images/.bashrc"), 0);
    assert_int_equal(unlink("images/.ssh/id_rsa"), 0);
    assert_int_equal(rename("images/sub/base", "images/.ssh/id_rsa"), 0);
    assert_not_beside(".bashrc");
    assert_not_beside("./.bashrc");
    assert_not_beside("sub/../.bashrc");
    assert_not_beside(".ssh/id_rsa");
    assert_not_beside("missing");
    assert_not_beside(".missing");
    /* Nor by a link that has another name. */
    assert_int_equal(symlink(".bashrc", "images/link"), 0);
    assert_int_equal(symlink(".ssh", "images/ssh"), 0);
    assert_not_beside("link");
    assert_not_beside("ssh/id_rsa");
    /* The directory of the image may be hidden. */
    assert_int_equal(mkdir("store/.cache", 0755), 0);
    assert_int_equal(rename("store/base", "store/.cache/base"), 0);
    struct policy_origin origin = origin_of("store/.cache/base");
    struct policy_file file;
    struct span name = {(const uint8_t *)"base", 4};
    error = (struct error){0};
    assert_true(policy_open(&policy, &origin, name, POLICY_BACKING, &file, NULL, &error));
    close(file.fd);
    policy_directory_release(&origin.directory);
    /* Who allows the directory means all of it. */
    allow("images");
    assert_opens(".bashrc", "images/base");
}

static void test_files_with_more_than_one_name(void **state)
{
    (void)state;
    policy.allows_beside = true;
    assert_int_equal(link("secret", "images/planted"), 0);
    assert_not_beside("planted");
    assert_int_equal(unlink("secret"), 0);
    assert_opens("planted", "secret");
}

static void test_files_of_others(void **state)
{
    (void)state;
    if (geteuid() != 0 || chown("images/base", SOMEBODY, (gid_t)-1) != 0) {
        skip(); /* not root, or one without other users */
    }
    policy.allows_beside = true;
    assert_not_beside("base");
    assert_opens("sub/base", "images/sub/base");
    /* The image's owner's, and root's. */
    assert_int_equal(chown("images/image", SOMEBODY, (gid_t)-1), 0);
    assert_opens("base", "images/base");
    assert_opens("sub/base", "images/sub/base");
    assert_int_equal(chown("images/sub/base", SOMEBODY + 1, (gid_t)-1), 0);
    assert_not_beside("sub/base");
}

static void test_what_is_no_file_beside(void **state)
{
    (void)state;
    policy.allows_beside = true;
    assert_int_equal(mkfifo("images/fifo", 0600), 0);
    assert_int_equal(symlink("../secret", "images/out"), 0);
    assert_int_equal(symlink("a", "images/a"), 0);
    static const char *const names[] = {"fifo", "out", "a", "sub", ".", "sub/", "base/", "base/below", "missing/base"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_not_beside(names[i]);
    }
    if (geteuid() != 0) { /* who may read everything is not refused */
        assert_int_equal(chmod("images/base", 0), 0);
        assert_not_beside("base");
    }
}

static void test_a_file_by_name(void **state)
{
    (void)state;
    allow_file("store/base");
    assert_true(policy_allows_something(&policy));
    assert_opens("../store/base", "store/base");
    assert_opens(tree_path("store/base"), "store/base");
    assert_opens("../store/sub/../base", "store/base");
    assert_refused("../store/sub/base", "or with --backing-file");
    assert_refused("base", NOWHERE);
    /* By another name of the same file; where links lead is the user's word, too. */
    assert_int_equal(symlink("../store/base", "images/link"), 0);
    assert_int_equal(symlink(tree_path("store"), "images/store"), 0);
    assert_opens("link", "store/base");
    assert_opens("store/base", "store/base");
    assert_refused("store/sub/base", NOWHERE);
    assert_int_equal(link("store/base", "images/hard"), 0);
    assert_opens("hard", "store/base");
}

static void test_a_file_by_a_path_through_links(void **state)
{
    (void)state;
    assert_int_equal(symlink("store", "versions"), 0);
    allow_file("versions/base");
    assert_opens(tree_path("versions/base"), "store/base");
    assert_opens("../store/base", "store/base");
    assert_refused("../versions/sub/base", "or with --backing-file");
    assert_int_equal(symlink("store/sub/base", "link"), 0);
    allow_file("link");
    assert_opens("../link", "store/sub/base");
    assert_opens(tree_path("link"), "store/sub/base");
}

/* It is the file that is meant, whatever has its name later. */
static void test_a_file_is_held(void **state)
{
    (void)state;
    allow_file("store/base");
    assert_int_equal(rename("store/sub/base", "store/base"), 0);
    assert_refused("../store/base", "or with --backing-file");
    assert_opens(tree_path("store/base"), NULL); /* by the very path: the old file */
}

static void assert_no_file(const char *path, const char *detail)
{
    error = (struct error){0};
    assert_false(policy_allow_file(&policy, path, "a backing file", &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.place, path);
    assert_string_equal(error.detail, detail);
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    assert_no_file("missing", "cannot use as a backing file: No such file or directory");
    assert_no_file("store", "cannot use as a backing file: it is not a regular file");
    assert_no_file("/dev/null", "cannot use as a backing file: it is not a regular file");
    assert_no_file("", "cannot use as a backing file: No such file or directory");
    for (unsigned int i = 0; i < POLICY_FILE_MAX; i++) {
        allow_file("store/base");
    }
    assert_no_file("store/base", "more than 64 backing files");
}

/* What is written: the file that the user named, by whatever name leads to it. */
static void test_the_file_that_is_written(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *problem; /* NULL: it is the file */
    } cases[] = {
        {"base", NULL},
        {"./sub/../base", NULL},
        {"file:base", NULL},
        {"link", NULL},
        {"sub/base", "it is not the file that --data-file names"},
        {"image", "it is not the file that --data-file names"},
        {"missing", "it is not the file that --data-file names"},
        {"../secret", "it is not the file that --data-file names"},
        {"nbd:base", "names with a protocol are never followed"},
        {"", "the name is empty"},
    };
    struct policy_origin origin = origin_of("images/image");
    struct policy_named named;
    assert_int_equal(symlink("base", "images/link"), 0);
    assert_true(policy_named_open("images/base", "a data file", false, &named, &error));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct span name = {(const uint8_t *)cases[i].name, strlen(cases[i].name)};
        error = (struct error){0};
        assert_int_equal(policy_leads_to(&origin, name, &named, &error), cases[i].problem == NULL);
        assert_true(cases[i].problem == NULL || strstr(error.detail, cases[i].problem) != NULL);
    }
    struct span name = {(const uint8_t *)"base", 4};
    error = (struct error){0};
    assert_false(policy_leads_to(&origin, name, NULL, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_string_equal(error.detail, "refused to open 'base': what is written is named by the user: allow it with "
                                      "--data-file FILE");
    policy_named_release(&named);
    policy_named_release(&named); /* a second time does nothing */
    policy_directory_release(&origin.directory);
}

/* Renames without end: "images/turn" is "one" and "two" by turns, each of which has another file "base". */
static int directories_turn(void *stop)
{
    while (!atomic_load((atomic_bool *)stop)) {
        (void)syscall(SYS_renameat2, AT_FDCWD, "images/turn", AT_FDCWD, "images/sub", RENAME_EXCHANGE);
    }
    return 0;
}

/* Names in a file that was found start where that file is, whatever somebody renames meanwhile. */
static void test_the_directory_of_what_was_found(void **state)
{
    (void)state;
    static atomic_bool stop;
    thrd_t turner;
    unsigned int found_count = 0;
    assert_int_equal(mkdir("images/turn", 0755), 0);
    assert_int_equal(link("store/base", "images/turn/base"), 0);
    assert_int_equal(link("secret", "images/turn/beside"), 0);
    allow("images");
    struct policy_origin origin = origin_of("images/image");
    assert_int_equal(thrd_create(&turner, directories_turn, &stop), thrd_success);
    for (unsigned int i = 0; i < 3000; i++) {
        struct policy_file file;
        struct policy_directory directory;
        struct stat status;
        error = (struct error){0};
        if (policy_open(&policy, &origin, (struct span){(const uint8_t *)"turn/base", 9}, POLICY_BACKING, &file,
                        &directory, &error)) {
            /* Both directories keep their files: this one has it, or never had. */
            assert_int_equal(fstatat(directory.fd, "base", &status, 0), 0);
            assert_int_equal(status.st_ino, file.status.st_ino);
            close(file.fd);
            policy_directory_release(&directory);
            found_count++;
        }
    }
    atomic_store(&stop, true);
    thrd_join(turner, NULL);
    policy_directory_release(&origin.directory);
    assert_true(found_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_OF_NOTHING(test_by_default_images_lead_nowhere),
        TEST_OF_NOTHING(test_beside),
        TEST_OF_NOTHING(test_beside_what_is_beside),
        TEST_OF_NOTHING(test_hidden_names),
        TEST_OF_NOTHING(test_files_with_more_than_one_name),
        TEST_OF_NOTHING(test_files_of_others),
        TEST_OF_NOTHING(test_what_is_no_file_beside),
        TEST_OF_NOTHING(test_a_file_by_name),
        TEST_OF_NOTHING(test_a_file_by_a_path_through_links),
        TEST_OF_NOTHING(test_a_file_is_held),
        TEST_OF_NOTHING(test_what_is_no_file),
        TEST_OF_NOTHING(test_the_file_that_is_written),
        TEST_OF_NOTHING(test_the_directory_of_what_was_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
