/* SPDX-License-Identifier: Apache-2.0 */
/* Locks on images: between our own, and with QEMU's programs, which are asked what they think of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/job/files/image_lock.h"
#include "test_job_run_support.h"
#include "test_job_support.h"

#define IMAGE_LEN_TEXT "1M"
/* More than any start of a program takes; a test that waits for so long has failed. */
#define START_TRIES 2000
#define START_INTERVAL_US 5000

static struct error error;

/* Runs a command; returns its exit code, and what it wrote to standard error in `text`. */
static int command_run(const char *command, char *text, size_t text_len)
{
    char line[512];
    snprintf(line, sizeof(line), "%s 2>&1 >/dev/null", command);
    FILE *stream = popen(line, "r");
    assert_non_null(stream);
    size_t len = fread(text, 1, text_len - 1, stream);
    text[len] = '\0';
    int status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_command(const char *command, int exit_code, const char *output)
{
    char text[1024];
    int found = command_run(command, text, sizeof(text));
    assert_string_equal(text, output);
    assert_int_equal(found, exit_code);
}

/* Somebody else who has an image open for writing, until the pipe is closed. */
struct holder {
    FILE *stream;
};

static bool is_locked(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    struct error ignored = {0};
    bool is_free = image_lock_test(fd, 0, IMAGE_WRITE, path, &ignored);
    close(fd);
    return !is_free;
}

static void hold(struct holder *holder, const char *format, const char *path)
{
    char command[256];
    snprintf(command, sizeof(command), "/usr/bin/qemu-io -f %s %s >/dev/null", format, path);
    holder->stream = popen(command, "w");
    assert_non_null(holder->stream);
    for (unsigned int i = 0; i < START_TRIES && !is_locked(path); i++) {
        usleep(START_INTERVAL_US);
    }
    assert_true(is_locked(path));
}

static void let_go(struct holder *holder)
{
    pclose(holder->stream);
}

static int case_enter(void **state)
{
    run_enter(state);
    error = (struct error){0};
    assert_command("/usr/bin/qemu-img create -q -f qcow2 disk.qcow2 " IMAGE_LEN_TEXT, 0, "");
    assert_command("/usr/bin/qemu-img create -q -f raw disk.raw " IMAGE_LEN_TEXT, 0, "");
    return 0;
}

static bool take(const char *path, int flags, unsigned int permissions, unsigned int unshared, int *ret_fd)
{
    *ret_fd = open(path, flags);
    assert_true(*ret_fd >= 0);
    error = (struct error){0};
    return image_lock_take(*ret_fd, permissions, unshared, path, &error);
}

static void assert_in_use(const char *detail)
{
    assert_int_equal(error.kind, ERROR_IN_USE);
    assert_string_equal(error.detail, detail);
}

static void test_readers_share(void **state)
{
    (void)state;
    int first;
    int second;
    assert_true(take("input", O_RDONLY, IMAGE_READ, IMAGE_WRITE | IMAGE_RESIZE, &first));
    assert_true(take("input", O_RDONLY, IMAGE_READ, IMAGE_WRITE | IMAGE_RESIZE, &second));
    close(first);
    close(second);
}

static void test_a_writer_keeps_readers_out_and_they_it(void **state)
{
    (void)state;
    int writer;
    int reader;
    assert_true(take("input", O_RDWR, IMAGE_READ | IMAGE_WRITE, 0, &writer));
    assert_false(take("input", O_RDONLY, IMAGE_READ, IMAGE_WRITE | IMAGE_RESIZE, &reader));
    assert_in_use("Failed to get shared \"write\" lock");
    assert_string_equal(error.place, "input");
    close(writer);
    close(reader);
    assert_true(take("input", O_RDONLY, IMAGE_READ, IMAGE_WRITE | IMAGE_RESIZE, &reader));
    assert_false(take("input", O_RDWR, IMAGE_READ | IMAGE_WRITE, 0, &writer));
    assert_in_use("Failed to get \"write\" lock");
    close(writer);
    close(reader);
}

/* The names are those of QEMU's messages. */
static void test_every_permission_conflicts_with_itself_only(void **state)
{
    (void)state;
    static const char *const names[] = {"consistent read", "write", "write unchanged", "resize"};
    for (unsigned int i = 0; i < 4; i++) {
        for (unsigned int j = 0; j < 4; j++) {
            int holder;
            int other;
            assert_true(take("input", O_RDONLY, 0, 1u << i, &holder));
            assert_int_equal(take("input", O_RDONLY, 1u << j, 0, &other), i != j);
            if (i == j) {
                char detail[64];
                snprintf(detail, sizeof(detail), "Failed to get \"%s\" lock", names[i]);
                assert_in_use(detail);
            }
            close(holder);
            close(other);
        }
    }
}

static void test_a_test_takes_nothing(void **state)
{
    (void)state;
    int fd = open("input", O_WRONLY);
    assert_true(image_lock_test(fd, IMAGE_WRITE | IMAGE_RESIZE, IMAGE_RESIZE, "input", &error));
    int other;
    assert_true(take("input", O_RDWR, IMAGE_WRITE | IMAGE_RESIZE, IMAGE_WRITE | IMAGE_RESIZE, &other));
    assert_false(image_lock_test(fd, IMAGE_WRITE, 0, "input", &error));
    assert_in_use("Failed to get \"write\" lock");
    close(fd);
    close(other);
}

static void test_a_child_holds_them_too(void **state)
{
    (void)state;
    int fd;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    assert_true(take("input", O_RDONLY, 0, IMAGE_WRITE, &fd));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(pipe_fds[1]);
        _exit(read(pipe_fds[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(pipe_fds[0]);
    close(fd);
    assert_false(take("input", O_RDWR, IMAGE_WRITE, 0, &fd));
    close(fd);
    close(pipe_fds[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(take("input", O_RDWR, IMAGE_WRITE, 0, &fd));
    close(fd);
}

static void test_qemu_sees_ours(void **state)
{
    (void)state;
    int fd;
    assert_true(take("disk.qcow2", O_RDWR, IMAGE_READ | IMAGE_WRITE, 0, &fd));
    assert_command("/usr/bin/qemu-img info disk.qcow2", 1,
                   "qemu-img: Could not open 'disk.qcow2': Failed to get shared \"write\" lock\n"
                   "Is another process using the image [disk.qcow2]?\n");
    assert_command("/usr/bin/qemu-img info -U disk.qcow2", 0, "");
    close(fd);
    assert_true(take("disk.qcow2", O_RDONLY, IMAGE_READ, IMAGE_WRITE | IMAGE_RESIZE, &fd));
    assert_command("/usr/bin/qemu-img info disk.qcow2", 0, "");
    assert_command("/usr/bin/qemu-io -f qcow2 -c 'read 0 512' disk.qcow2", 1,
                   "qemu-io: can't open device disk.qcow2: Failed to get \"write\" lock\n"
                   "Is another process using the image [disk.qcow2]?\n");
    close(fd);
    assert_command("/usr/bin/qemu-io -f qcow2 -c 'read 0 512' disk.qcow2", 0, "");
}

/* What a guest says of its first image, whose format is in the note. */
static void read_well(const struct fake_child *child)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_format_tag};
    memcpy(message.kind.format.format, run_note.text, strlen(run_note.text) + 1);
    send_init(child->writer);
    send_message(child->writer, &message);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void describe_well(const struct fake_child *child)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_info_tag};
    memcpy(message.kind.info.format, run_note.text, strlen(run_note.text) + 1);
    send_init(child->writer);
    send_message(child->writer, &message);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}

static struct job locking_job(const char *path, const char *format)
{
    struct job job = run_job_default();
    run_note = (struct run_note){0};
    memcpy(run_note.text, format, strlen(format) + 1);
    job.inputs[0].path = path;
    job.output_kind = JOB_OUTPUT_NONE;
    job.lock_images = true;
    return job;
}

static void assert_run_in_use(bool success, const char *path, const char *detail)
{
    assert_false(success);
    assert_int_equal(run_error.kind, ERROR_IN_USE);
    assert_string_equal(run_error.place, path);
    assert_string_equal(run_error.detail, detail);
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 0);
}

static void test_an_image_in_use_is_not_read(void **state)
{
    (void)state;
    struct holder holder;
    hold(&holder, "qcow2", "disk.qcow2");
    struct job job = locking_job("disk.qcow2", "qcow2");
    assert_run_in_use(run_job_with(&job, read_well, NULL), "disk.qcow2", "Failed to get shared \"write\" lock");
    job.only_describes = true;
    assert_run_in_use(run_job_with(&job, describe_well, NULL), "disk.qcow2", "Failed to get shared \"write\" lock");
    job.force_share = true;
    assert_true(run_job_with(&job, describe_well, NULL));
    job.only_describes = false;
    assert_true(run_job_with(&job, read_well, NULL));
    job = locking_job("disk.qcow2", "qcow2");
    job.lock_images = false;
    assert_true(run_job_with(&job, read_well, NULL));
    let_go(&holder);
    job.lock_images = true;
    assert_true(run_job_with(&job, read_well, NULL));
}

/* As in QEMU: of a raw image nothing but data can change. A conversion wants that not to. */
static void test_a_raw_image_in_use_is_read_but_no_source(void **state)
{
    (void)state;
    struct holder holder;
    hold(&holder, "raw", "disk.raw");
    struct job job = locking_job("disk.raw", "raw");
    assert_true(run_job_with(&job, read_well, NULL));
    job.output_kind = JOB_OUTPUT_NEW;
    job.reads_alone = true;
    assert_run_in_use(run_job_with(&job, copy_well, NULL), "disk.raw", "Failed to get shared \"write\" lock");
    assert_false(file_exists("output"));
    job.force_share = true;
    assert_true(run_job_with(&job, read_well, NULL));
    let_go(&holder);
}

static void test_an_output_in_use_is_not_written(void **state)
{
    (void)state;
    struct holder holder;
    /* As a reader that wants nothing to change: what a conversion is. */
    hold(&holder, "qcow2", "disk.qcow2");
    struct job job = locking_job("disk.raw", "raw");
    job.output_kind = JOB_OUTPUT_NEW;
    job.output.path = "disk.qcow2";
    bool success = run_job_with(&job, read_well, NULL);
    assert_false(success);
    assert_int_equal(run_error.kind, ERROR_IN_USE);
    assert_string_equal(run_error.detail, "Failed to get \"write\" lock");
    assert_int_equal(run_result.opening_device, 1);
    job.output_kind = JOB_OUTPUT_IN_PLACE;
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    success = run_job_with(&job, read_well, NULL);
    assert_false(success);
    assert_string_equal(run_error.detail, "Failed to get \"write\" lock");
    let_go(&holder);
    assert_true(run_job_with(&job, read_well, NULL));
}

/* Asks qemu-img while the job runs. */
static void ask_qemu(const struct fake_child *child)
{
    char text[512];
    int target = command_run("/usr/bin/qemu-img info -f qcow2 disk.qcow2", text, sizeof(text));
    if (target != 1 || strcmp(text, "qemu-img: Could not open 'disk.qcow2': Failed to get shared \"write\" lock\n"
                                    "Is another process using the image [disk.qcow2]?\n") != 0) {
        _exit(7);
    }
    if (command_run("/usr/bin/qemu-io -f raw -c 'write 0 512' disk.raw", text, sizeof(text)) != 1 ||
        strcmp(text, "qemu-io: can't open device disk.raw: Failed to get \"write\" lock\n"
                     "Is another process using the image [disk.raw]?\n") != 0) {
        _exit(8);
    }
    read_well(child);
}

static void test_qemu_keeps_off_what_a_job_uses(void **state)
{
    (void)state;
    struct job job = locking_job("disk.raw", "raw");
    job.reads_alone = true;
    job.output_kind = JOB_OUTPUT_IN_PLACE;
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    job.output.path = "disk.qcow2";
    assert_true(run_job_with(&job, ask_qemu, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, case_enter, run_leave)

int main(int argc, char **argv)
{
    child_enter(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_readers_share),
        TEST(test_a_writer_keeps_readers_out_and_they_it),
        TEST(test_every_permission_conflicts_with_itself_only),
        TEST(test_a_test_takes_nothing),
        TEST(test_a_child_holds_them_too),
        TEST(test_qemu_sees_ours),
        TEST(test_an_image_in_use_is_not_read),
        TEST(test_a_raw_image_in_use_is_read_but_no_source),
        TEST(test_an_output_in_use_is_not_written),
        TEST(test_qemu_keeps_off_what_a_job_uses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
