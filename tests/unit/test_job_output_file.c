/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/job/outputs/output_file.h"
#include "test_job_support.h"
#include "test_users.h"

#define NEW_CONTENT "new content"

/* Both ways of keeping an output out of sight are tested alike. */
static bool forbid_unnamed;

static struct input_file input;

static struct output_request request_for(const char *path)
{
    return (struct output_request){.kind = JOB_OUTPUT_NEW,
                                   .path = path,
                                   .len = strlen(NEW_CONTENT),
                                   .inputs = &input,
                                   .input_count = 1,
                                   .forbid_unnamed = forbid_unnamed};
}

static int case_enter(void **state)
{
    directory_enter(state);
    struct error error = {0};
    file_make("input", "input's content");
    assert_true(input_file_open(&input, "input", 0, &error));
    umask(022);
    return 0;
}

static int case_leave(void **state)
{
    input_file_close(&input);
    return directory_leave(state);
}

static void open_and_write(struct output_file *output, const char *path)
{
    struct output_request request = request_for(path);
    struct error error = {0};
    assert_true(output_file_open(output, &request, &error));
    struct stat status;
    assert_int_equal(fstat(output->fd, &status), 0);
    assert_int_equal(status.st_size, strlen(NEW_CONTENT));
    assert_true(output->is_regular);
    assert_true(output->zeroed);
    assert_int_equal(fcntl(output->fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_int_equal(pwrite(output->fd, NEW_CONTENT, strlen(NEW_CONTENT), 0), strlen(NEW_CONTENT));
}

static void write_and_commit(const char *path)
{
    struct output_file output;
    struct error error = {0};
    open_and_write(&output, path);
    assert_true(output_file_commit(&output, path, true, &error));
    assert_int_equal(output.fd, -1);
}

static void assert_refused(const char *path, enum error_kind kind, const char *detail)
{
    struct output_file output;
    struct output_request request = request_for(path);
    struct error error = {0};
    size_t count = directory_count();
    assert_false(output_file_open(&output, &request, &error));
    assert_int_equal(error.kind, kind);
    assert_string_equal(error.place, path);
    assert_string_equal(error.detail, detail);
    assert_int_equal(directory_count(), count);
    assert_file_content("input", "input's content");
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void test_a_new_file_appears_at_commit(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    open_and_write(&output, "output");
    assert_false(file_exists("output"));
    assert_int_equal(directory_count(), forbid_unnamed ? 2 : 1);
    assert_true(output_file_commit(&output, "output", false, &error));
    assert_file_content("output", NEW_CONTENT);
    assert_int_equal(directory_count(), 2);
    assert_int_equal(mode_of("output"), 0644);
}

static void test_the_umask_counts(void **state)
{
    (void)state;
    umask(077);
    write_and_commit("output");
    umask(022);
    assert_int_equal(mode_of("output"), 0600);
}

static void test_discard_leaves_nothing(void **state)
{
    (void)state;
    struct output_file output;
    open_and_write(&output, "output");
    output_file_discard(&output);
    output_file_discard(&output);
    assert_int_equal(directory_count(), 1);
}

static void test_an_old_file_is_replaced_at_commit(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    file_make("output", "old");
    assert_int_equal(chmod("output", 0751), 0);
    open_and_write(&output, "output");
    assert_file_content("output", "old");
    assert_true(output_file_commit(&output, "output", false, &error));
    assert_file_content("output", NEW_CONTENT);
    assert_int_equal(mode_of("output"), 0751);
    assert_int_equal(directory_count(), 2);
}

static void test_an_old_file_survives_discard(void **state)
{
    (void)state;
    struct output_file output;
    file_make("output", "old");
    open_and_write(&output, "output");
    output_file_discard(&output);
    assert_file_content("output", "old");
    assert_int_equal(directory_count(), 2);
}

static void test_an_old_file_survives_a_kill(void **state)
{
    (void)state;
    file_make("output", "old");
    pid_t child = fork();
    if (child == 0) {
        struct output_file output;
        open_and_write(&output, "output");
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_file_content("output", "old");
    assert_int_equal(directory_count(), forbid_unnamed ? 3 : 2);
}

/* What replaces a secret is a secret while it is written. */
static void test_the_work_is_as_private_as_the_old_file(void **state)
{
    (void)state;
    struct output_file output;
    struct stat status;
    file_make("output", "old");
    assert_int_equal(chmod("output", 0600), 0);
    open_and_write(&output, "output");
    assert_int_equal(fstat(output.fd, &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
    output_file_discard(&output);
}

static void test_the_owner_is_kept(void **state)
{
    (void)state;
    if (!may_be_anybody()) {
        skip();
    }
    file_make("output", "old");
    assert_int_equal(chown("output", 1234, 4321), 0);
    assert_int_equal(chmod("output", 06770), 0);
    write_and_commit("output");
    struct stat status;
    assert_int_equal(stat("output", &status), 0);
    assert_int_equal(status.st_uid, 1234);
    assert_int_equal(status.st_gid, 4321);
    assert_int_equal(status.st_mode & 07777, 0770);
}

static void test_a_file_that_appears_meanwhile_is_replaced(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    open_and_write(&output, "output");
    file_make("output", "somebody else's");
    assert_true(output_file_commit(&output, "output", false, &error));
    assert_file_content("output", NEW_CONTENT);
    assert_int_equal(directory_count(), 2);
}

/* As the kernel has it of who is not root, who may remove everything. */
static void test_a_foreign_file_that_appears_meanwhile_stays(void **state)
{
    (void)state;
    if (!may_be_anybody()) {
        skip();
    }
    assert_int_equal(chmod(".", 01777), 0);
    for (int had_old = 0; had_old <= 1; had_old++) {
        struct output_file output;
        struct error error = {0};
        if (had_old != 0) {
            file_make("output", "old");
        }
        open_and_write(&output, "output");
        file_make("other", "somebody else's");
        assert_int_equal(chown("other", 1234, 1234), 0);
        assert_int_equal(rename("other", "output"), 0);
        assert_false(output_file_commit(&output, "output", false, &error));
        assert_string_equal(error.detail, "cannot put the new file in its place: Operation not permitted");
        assert_file_content("output", "somebody else's");
        assert_int_equal(directory_count(), 2);
        assert_int_equal(unlink("output"), 0);
    }
}

static void test_a_file_that_vanishes_meanwhile(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    file_make("output", "old");
    open_and_write(&output, "output");
    assert_int_equal(unlink("output"), 0);
    assert_true(output_file_commit(&output, "output", false, &error));
    assert_file_content("output", NEW_CONTENT);
    assert_int_equal(directory_count(), 2);
}

static void test_a_directory_that_appears_meanwhile_stays(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    open_and_write(&output, "output");
    assert_int_equal(mkdir("output", 0700), 0);
    assert_false(output_file_commit(&output, "output", false, &error));
    struct stat status;
    assert_int_equal(stat("output", &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(directory_count(), 2);
}

static void test_a_link_is_followed_and_kept(void **state)
{
    (void)state;
    file_make("target", "old");
    assert_int_equal(symlink("target", "middle"), 0);
    assert_int_equal(symlink("middle", "link"), 0);
    write_and_commit("link");
    assert_file_content("target", NEW_CONTENT);
    char text[16];
    assert_int_equal(readlink("link", text, sizeof(text)), 6);
    assert_int_equal(readlink("middle", text, sizeof(text)), 6);
}

static void test_an_absolute_link_is_followed(void **state)
{
    (void)state;
    char *directory = realpath(".", NULL);
    char target[4096];
    snprintf(target, sizeof(target), "%s/target", directory);
    free(directory);
    assert_int_equal(symlink(target, "link"), 0);
    write_and_commit("link");
    assert_file_content("target", NEW_CONTENT);
}

static void test_a_dangling_link_names_a_new_file(void **state)
{
    (void)state;
    assert_int_equal(symlink("target", "link"), 0);
    write_and_commit("link");
    assert_file_content("target", NEW_CONTENT);
    assert_int_equal(directory_count(), 3);
}

static void test_a_link_to_itself_is_refused(void **state)
{
    (void)state;
    assert_int_equal(symlink("link", "link"), 0);
    assert_refused("link", ERROR_IO, "cannot create: Too many levels of symbolic links");
}

/* As the kernel's fs.protected_symlinks has it. */
static void test_a_foreign_link_in_a_shared_directory_is_refused(void **state)
{
    (void)state;
    if (!may_be_anybody()) {
        skip();
    }
    assert_int_equal(chmod(".", 01777), 0);
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(lchown("link", 1234, 1234), 0);
    struct output_file output;
    struct output_request request = request_for("link");
    struct error error = {0};
    assert_false(output_file_open(&output, &request, &error));
    assert_non_null(strstr(error.detail, "belongs to somebody else"));
}

static void test_the_input_is_refused_under_any_name(void **state)
{
    (void)state;
    assert_int_equal(link("input", "hard"), 0);
    assert_int_equal(symlink("input", "soft"), 0);
    assert_refused("input", ERROR_USAGE, "the output is the input");
    assert_refused("hard", ERROR_USAGE, "the output is the input");
    assert_refused("soft", ERROR_USAGE, "the output is the input");
    assert_refused("./input", ERROR_USAGE, "the output is the input");
}

static void test_what_is_no_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_refused("fifo", ERROR_USAGE, "is a FIFO, not a regular file or block device");
    assert_refused(".", ERROR_USAGE, "is a directory");
    assert_refused("/", ERROR_USAGE, "is a directory");
    assert_refused("/dev/null", ERROR_USAGE, "is a character device, not a regular file or block device");
    assert_refused("/dev/full", ERROR_USAGE, "is a character device, not a regular file or block device");
    /* A directory's name, as the kernel has it of files to be made. */
    assert_refused("new/", ERROR_USAGE, "is a directory");
    assert_refused("new//", ERROR_USAGE, "is a directory");
    assert_refused("input/", ERROR_USAGE, "is a directory");
    assert_refused("missing/new/", ERROR_IO, "cannot create: No such file or directory");
    assert_refused("missing/output", ERROR_IO, "cannot create: No such file or directory");
    assert_refused("input/output", ERROR_IO, "cannot create: Not a directory");
}

static void test_an_empty_name_is_refused(void **state)
{
    (void)state;
    struct output_file output;
    struct output_request request = request_for("");
    struct error error = {0};
    assert_false(output_file_open(&output, &request, &error));
    assert_string_equal(error.detail, "the name of the output is empty");
}

static void test_the_longest_name(void **state)
{
    (void)state;
    char name[NAME_MAX + 2];
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    write_and_commit(name);
    write_and_commit(name); /* over itself */
    assert_file_content(name, NEW_CONTENT);
    memset(name, 'n', NAME_MAX + 1);
    name[NAME_MAX + 1] = '\0';
    assert_refused(name, ERROR_IO, "cannot create: File name too long");
}

/* What else is known by the old file would lose it. */
static void test_a_file_with_other_names_is_written_in_place(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    file_make("output", "old content that is longer");
    assert_int_equal(link("output", "other"), 0);
    struct output_request request = request_for("output");
    request.len = 0;
    assert_true(output_file_open(&output, &request, &error));
    assert_string_equal(output.in_place_reason, "it has other names (hard links)");
    assert_false(output.is_new);
    assert_int_equal(output.len, 0);
    output_file_discard(&output); /* nothing was written */
    assert_file_content("other", "old content that is longer");

    assert_true(output_file_open(&output, &request, &error));
    assert_int_equal(ftruncate(output.fd, 0), 0); /* as backend_set_len does it */
    assert_int_equal(pwrite(output.fd, NEW_CONTENT, strlen(NEW_CONTENT), 0), strlen(NEW_CONTENT));
    assert_true(output_file_commit(&output, "output", true, &error));
    assert_file_content("other", NEW_CONTENT);

    assert_true(output_file_open(&output, &request, &error));
    assert_int_equal(pwrite(output.fd, "half of it", 10, 20), 10);
    output_file_discard(&output);
    assert_file_content("other", "");
    assert_int_equal(directory_count(), 3);
}

/* One whose length the caller knows is made empty at once. */
static void test_a_file_in_place_gets_the_length_that_is_known(void **state)
{
    (void)state;
    struct output_file output;
    struct error error = {0};
    file_make("output", "old content that is longer");
    assert_int_equal(link("output", "other"), 0);
    struct output_request request = request_for("output");
    request.truncates = true;
    assert_true(output_file_open(&output, &request, &error));
    assert_int_equal(pwrite(output.fd, "new", 3, 0), 3);
    assert_true(output_file_commit(&output, "output", false, &error));
    char content[16];
    int fd = open("other", O_RDONLY);
    assert_int_equal(read(fd, content, sizeof(content)), strlen(NEW_CONTENT));
    close(fd);
    assert_memory_equal(content, "new\0\0\0\0\0\0\0\0", strlen(NEW_CONTENT));
}

/* As a further file of an image: like another one, under its name when that is asked for, and over nothing. */
static void test_a_file_that_waits_for_its_name(void **state)
{
    (void)state;
    struct output_file like = {.fd = -1};
    struct output_file output;
    struct error error = {0};
    file_make("part", "the other one");
    assert_int_equal(chmod("part", 0640), 0);
    like.fd = open("part", O_RDONLY | O_CLOEXEC);
    struct output_request request = request_for("output");
    request.like = &like;
    assert_true(output_file_open(&output, &request, &error));
    assert_int_equal(pwrite(output.fd, NEW_CONTENT, strlen(NEW_CONTENT), 0), strlen(NEW_CONTENT));
    assert_false(file_exists("output"));
    assert_true(output_file_name(&output, "output", &error));
    assert_true(output_file_sync_name(&output, "output", &error));
    assert_file_content("output", NEW_CONTENT);
    assert_int_equal(mode_of("output"), 0640);
    assert_true(output_file_commit(&output, "output", true, &error));
    assert_file_content("output", NEW_CONTENT);
    assert_false(output_file_open(&output, &request, &error));
    assert_string_equal(error.detail, "is already there, and is no part of the image");

    /* Nobody asks for the name; somebody else has it meanwhile; it is taken away again. */
    request.path = "second";
    assert_true(output_file_open(&output, &request, &error));
    assert_true(output_file_commit(&output, "second", false, &error));
    assert_false(file_exists("second"));
    assert_true(output_file_open(&output, &request, &error));
    file_make("second", "theirs");
    assert_false(output_file_name(&output, "second", &error));
    output_file_discard(&output);
    assert_file_content("second", "theirs");
    request.path = "third";
    assert_true(output_file_open(&output, &request, &error) && output_file_name(&output, "third", &error));
    output_file_unname(&output);
    output_file_discard(&output);
    assert_int_equal(directory_count(), 4);
    close(like.fd);
}

/* A limit of the file size is an error like a full disk, not a signal. */
static void test_a_length_past_the_limit(void **state)
{
    (void)state;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit low = {.rlim_cur = 5, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    signal(SIGXFSZ, SIG_IGN); /* job_run does it */
    assert_refused("output", ERROR_NO_SPACE, "cannot make it 11 bytes long: File too large");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, case_enter, case_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_file_appears_at_commit),
        TEST(test_the_umask_counts),
        TEST(test_discard_leaves_nothing),
        TEST(test_an_old_file_is_replaced_at_commit),
        TEST(test_an_old_file_survives_discard),
        TEST(test_an_old_file_survives_a_kill),
        TEST(test_the_work_is_as_private_as_the_old_file),
        TEST(test_the_owner_is_kept),
        TEST(test_a_file_that_appears_meanwhile_is_replaced),
        TEST(test_a_foreign_file_that_appears_meanwhile_stays),
        TEST(test_a_file_that_vanishes_meanwhile),
        TEST(test_a_directory_that_appears_meanwhile_stays),
        TEST(test_a_link_is_followed_and_kept),
        TEST(test_an_absolute_link_is_followed),
        TEST(test_a_dangling_link_names_a_new_file),
        TEST(test_a_link_to_itself_is_refused),
        TEST(test_a_foreign_link_in_a_shared_directory_is_refused),
        TEST(test_the_input_is_refused_under_any_name),
        TEST(test_what_is_no_file_is_refused),
        TEST(test_an_empty_name_is_refused),
        TEST(test_the_longest_name),
        TEST(test_a_file_with_other_names_is_written_in_place),
        TEST(test_a_file_in_place_gets_the_length_that_is_known),
        TEST(test_a_file_that_waits_for_its_name),
        TEST(test_a_length_past_the_limit),
    };
    int failures = cmocka_run_group_tests_name("unnamed", tests, NULL, NULL);
    forbid_unnamed = true;
    failures += cmocka_run_group_tests_name("temporary name", tests, NULL, NULL);
    return failures;
}
