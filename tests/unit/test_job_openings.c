/* SPDX-License-Identifier: Apache-2.0 */
/* Files that images lead to: what the child gets, and what the result says about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/job/files/image_lock.h"
#include "host/job/grant.h"
#include "test_job_run_support.h"
#include "test_job_support.h"

static const struct policy beside_policy = {.allows_beside = true};
static const struct policy default_policy;

static struct job late_job(void)
{
    struct job job = run_job_default();
    job.output_kind = JOB_OUTPUT_NONE;
    job.policy = &beside_policy;
    job.late_device_count = 3;
    return job;
}

static void ask_without_waiting(const struct fake_child *child, uint32_t referrer, const char *name, instar_OpenUse use)
{
    static instar_GuestMessage message;
    message.which_kind = instar_GuestMessage_open_tag;
    message.kind.open.device = referrer;
    message.kind.open.use = use;
    message.kind.open.name.size = (pb_size_t)strlen(name);
    memcpy(message.kind.open.name.bytes, name, strlen(name));
    send_message(child->writer, &message);
    channel_writer_flush(child->writer);
}

/* Asks for `name` on behalf of `referrer`, and waits for the answer; a file comes with it. */
static struct grant ask_for(const struct fake_child *child, uint32_t referrer, const char *name, instar_OpenUse use,
                            int *ret_fd)
{
    ask_without_waiting(child, referrer, name, use);
    struct pollfd ready = {.fd = child->ties->grant_fd, .events = POLLIN};
    struct grant grant;
    struct error error = {0};
    if (poll(&ready, 1, 10000) != 1 || !grant_receive(child->ties->grant_fd, &grant, ret_fd, &error)) {
        _exit(2);
    }
    return grant;
}

static struct grant ask(const struct fake_child *child, uint32_t referrer, const char *name)
{
    int fd;
    struct grant grant = ask_for(child, referrer, name, instar_OpenUse_OPEN_BACKING, &fd);
    if (fd >= 0) {
        if (write(fd, "x", 1) == 1) {
            _exit(5);
        }
        close(fd);
    }
    return grant;
}

static void end_well(const struct fake_child *child)
{
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void follow_a_chain(const struct fake_child *child)
{
    send_init(child->writer);
    struct grant first = ask(child, 0, "sub/first");
    struct grant second = ask(child, 1, "file:second");
    if (!first.is_granted || !second.is_granted || first.file_len != 5 || second.file_len != 6 ||
        strcmp(first.path, "./sub/first") != 0) {
        _exit(3);
    }
    end_well(child);
}

static int tree_enter(void **state)
{
    run_enter(state);
    assert_int_equal(mkdir("sub", 0700), 0);
    file_make("sub/first", "first");
    file_make("sub/second", "second");
    return 0;
}

static int tree_leave(void **state)
{
    unlink("sub/first");
    unlink("sub/second");
    rmdir("sub");
    return run_leave(state);
}

static void test_devices_have_the_paths_that_users_know(void **state)
{
    (void)state;
    struct job job = late_job();
    job.inputs[0].path = "./input";
    assert_true(run_job_with(&job, follow_a_chain, NULL));
    assert_int_equal(run_result.device_count, 3);
    assert_string_equal(run_result.devices[1].path, "./sub/first");
    assert_string_equal(run_result.devices[2].path, "./sub/second");
    assert_int_equal(run_result.devices[1].len, 5);
    assert_int_equal(run_result.devices[1].referrer, 0);
    assert_int_equal(run_result.devices[2].referrer, 1);
    struct stat status;
    assert_int_equal(stat("sub/second", &status), 0);
    assert_int_equal(run_result.devices[2].allocated_len, status.st_blocks * 512);
}

static void ask_for_the_second_inputs_and_behind_the_output(const struct fake_child *child)
{
    send_init(child->writer);
    /* Devices: two inputs, the output, and then this one. */
    struct grant first = ask(child, 1, "second");
    struct grant again = ask(child, 3, "first");
    if (!first.is_granted || !again.is_granted) {
        _exit(3);
    }
    end_well(child);
}

static void test_late_devices_come_behind_the_output(void **state)
{
    (void)state;
    struct job job = late_job();
    job.inputs[1] = (struct job_image){"sub/first", 512, BACKEND_REGULAR};
    job.input_count = 2;
    job.output_kind = JOB_OUTPUT_NEW;
    assert_true(run_job_with(&job, ask_for_the_second_inputs_and_behind_the_output, NULL));
    assert_int_equal(run_result.device_count, 5);
    assert_string_equal(run_result.devices[2].path, "output");
    assert_string_equal(run_result.devices[3].path, "sub/second");
    assert_string_equal(run_result.devices[4].path, "sub/first");
    assert_int_equal(run_result.devices[4].referrer, 3);
}

static void ask_on_behalf_of_a_part(const struct fake_child *child)
{
    int fd;
    send_init(child->writer);
    if (!ask_for(child, 0, "sub/first", instar_OpenUse_OPEN_PART, &fd).is_granted) {
        _exit(3);
    }
    (void)ask(child, 1, "second");
    end_well(child);
}

static void test_a_part_leads_nowhere(void **state)
{
    (void)state;
    struct job job = late_job();
    assert_false(run_job_with(&job, ask_on_behalf_of_a_part, NULL));
    assert_string_equal(run_error.detail, "the guest asks for a file on behalf of device 1, which names none");
}

static void ask_for_the_output(const struct fake_child *child)
{
    send_init(child->writer);
    (void)ask(child, 1, "x");
    end_well(child);
}

static void test_the_output_leads_nowhere(void **state)
{
    (void)state;
    struct job job = late_job();
    job.output_kind = JOB_OUTPUT_NEW;
    assert_false(run_job_with(&job, ask_for_the_output, NULL));
    assert_string_equal(run_error.detail, "the guest asks for a file on behalf of device 1, which names none");
}

/* The guest fails with the kind of the refusal that it got. */
static void be_refused(const struct fake_child *child, const char *name)
{
    send_init(child->writer);
    struct grant first = ask(child, 0, "sub/first");
    struct grant grant = ask(child, first.is_granted ? 1 + (child->ties->image_count - 1) : 0, name);
    if (!first.is_granted || grant.is_granted) {
        _exit(3);
    }
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_complete_tag,
        .kind.complete = {.has_error = true,
                          .error = {.kind = grant.error_kind, .detail = "refused", .opening = true}}};
    send_message(child->writer, &message);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void ask_for_second(const struct fake_child *child)
{
    be_refused(child, "second");
}

static void ask_for_a_missing_file(const struct fake_child *child)
{
    be_refused(child, "missing");
}

static void test_a_file_in_use_is_refused(void **state)
{
    (void)state;
    struct job job = late_job();
    job.lock_images = true;
    job.output_kind = JOB_OUTPUT_NEW;
    job.reads_alone = true; /* a conversion: nothing on the way shall change */
    struct error error = {0};
    int fd = open("sub/second", O_RDWR);
    assert_true(image_lock_take(fd, IMAGE_READ | IMAGE_WRITE, 0, "", &error));
    assert_false(run_job_with(&job, ask_for_second, NULL));
    close(fd);
    assert_int_equal(run_error.kind, ERROR_IN_USE);
    assert_string_equal(run_error.place, "sub/second");
    assert_string_equal(run_error.detail, "Failed to get shared \"write\" lock");
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 0);
}

static void test_what_is_missing_is_told_with_the_image_that_names_it(void **state)
{
    (void)state;
    struct job job = late_job();
    assert_false(run_job_with(&job, ask_for_a_missing_file, NULL));
    assert_int_equal(run_error.kind, ERROR_IO);
    assert_string_equal(run_error.place, "sub/first");
    assert_string_equal(run_error.detail, "cannot open 'missing': No such file or directory (or none that "
                                          "--backing=beside allows; --backing-file FILE allows others)");
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 0);
}

static void test_no_file_behind_an_input_may_be_the_output(void **state)
{
    (void)state;
    struct job job = late_job();
    job.output.path = "sub/second";
    static const enum job_output_kind kinds[] = {JOB_OUTPUT_NEW, JOB_OUTPUT_IN_PLACE};
    for (unsigned int i = 0; i < 2; i++) {
        job.output_kind = kinds[i];
        job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
        assert_false(run_job_with(&job, ask_for_second, NULL));
        assert_int_equal(run_error.kind, ERROR_USAGE);
        assert_string_equal(run_error.place, "sub/second");
        assert_string_equal(run_error.detail, "the output is a file that the input leads to");
        assert_file_content("sub/second", "second");
    }
}

static void ask_for_too_many(const struct fake_child *child)
{
    send_init(child->writer);
    for (unsigned int i = 0; i < 3; i++) {
        if (!ask(child, 0, "sub/first").is_granted) {
            _exit(3);
        }
    }
    struct grant grant = ask(child, 0, "sub/first");
    if (grant.is_granted || grant.error_kind != ERROR_LIMIT) {
        _exit(4);
    }
    end_well(child);
}

static void test_there_are_only_so_many_devices(void **state)
{
    (void)state;
    struct job job = late_job();
    assert_true(run_job_with(&job, ask_for_too_many, NULL));
    assert_int_equal(run_result.device_count, 4);
}

/* By default: the job ends, and the image and the option are told. */
static void ask_in_vain(const struct fake_child *child)
{
    send_init(child->writer);
    ask_without_waiting(child, 0, "sub/first", instar_OpenUse_OPEN_BACKING);
    end_well(child);
}

static void test_by_default_an_image_leads_nowhere(void **state)
{
    (void)state;
    struct job job = late_job();
    job.policy = &default_policy;
    job.late_device_count = 0;
    assert_false(run_job_with(&job, ask_in_vain, NULL));
    assert_int_equal(run_error.kind, ERROR_REFUSED);
    assert_string_equal(run_error.place, "input");
    assert_non_null(strstr(run_error.detail, "refused to open 'sub/first'"));
    assert_non_null(strstr(run_error.detail, "--backing=beside"));
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 0);
}

static void ask_for_nothing_that_is_known(const struct fake_child *child)
{
    send_init(child->writer);
    ask_without_waiting(child, 0, "sub/first", (instar_OpenUse)7);
    end_well(child);
}

static void test_what_a_file_is_for_must_be_known(void **state)
{
    (void)state;
    struct job job = late_job();
    assert_false(run_job_with(&job, ask_for_nothing_that_is_known, NULL));
    assert_int_equal(run_error.kind, ERROR_GUEST);
}

/* A job on an input that changes the output, and a data file that the user named. */
static struct job changing_job(void)
{
    struct job job = late_job();
    file_make("output", "old");
    job.output.path = "output";
    job.output_kind = JOB_OUTPUT_IN_PLACE;
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    job.resizes_output = true;
    job.lock_images = true;
    static struct job_output data;
    data = (struct job_output){.image = {"sub/first", 512, BACKEND_REGULAR}, .role = JOB_OUTPUT_DATA};
    job.further_outputs = (struct job_outputs){.list = &data, .count = 1};
    return job;
}

#define DATA_DEVICE 2u

/* Asks for the output's data file, and expects it to be the one that the machine has. */
static void expect_data_file(const struct fake_child *child, const char *name)
{
    int fd;
    struct grant grant = ask_for(child, 1, name, instar_OpenUse_OPEN_DATA, &fd);
    if (!grant.is_granted || !grant.has_device || grant.device != DATA_DEVICE || fd >= 0) {
        _exit(3);
    }
}

static void change_the_data_file(const struct fake_child *child)
{
    send_init(child->writer);
    expect_data_file(child, "sub/first");
    expect_data_file(child, "file:sub/../sub/first");
    if (child->ties->images[DATA_DEVICE].len != 5 || write(child->ties->images[DATA_DEVICE].fd, "FIRST", 5) != 5) {
        _exit(6);
    }
    /* As QEMU locks a data file: others may read it, but not resize it. */
    struct error error = {0};
    int other_fd = open("sub/first", O_RDWR);
    if (image_lock_test(other_fd, IMAGE_RESIZE, 0, "", &error) ||
        image_lock_test(other_fd, 0, IMAGE_WRITE, "", &error) ||
        !image_lock_test(other_fd, IMAGE_READ | IMAGE_WRITE, 0, "", &error)) {
        _exit(4);
    }
    end_well(child);
}

static void test_the_data_file_that_the_user_named_is_changed(void **state)
{
    (void)state;
    struct job job = changing_job();
    assert_true(run_job_with(&job, change_the_data_file, NULL));
    assert_file_content("sub/first", "FIRST");
    assert_int_equal(run_result.device_count, 3);
}

static void fail_with_the_answer(const struct fake_child *child, uint32_t referrer, const char *name,
                                 instar_OpenUse use)
{
    int fd;
    send_init(child->writer);
    struct grant grant = ask_for(child, referrer, name, use, &fd);
    if (grant.is_granted) {
        _exit(3);
    }
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_complete_tag,
        .kind.complete = {.has_error = true,
                          .error = {.kind = grant.error_kind, .detail = "refused", .opening = true}}};
    send_message(child->writer, &message);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void change_another_file(const struct fake_child *child)
{
    fail_with_the_answer(child, 1, "sub/second", instar_OpenUse_OPEN_DATA);
}

static void change_the_input(const struct fake_child *child)
{
    fail_with_the_answer(child, 1, "input", instar_OpenUse_OPEN_DATA);
}

static void change_the_output_itself(const struct fake_child *child)
{
    fail_with_the_answer(child, 1, "output", instar_OpenUse_OPEN_DATA);
}

/* Whatever an image or a guest says, no other file is written to. */
static void test_no_other_file_is_changed(void **state)
{
    (void)state;
    static void (*const children[])(const struct fake_child *child) = {change_another_file, change_the_input,
                                                                       change_the_output_itself};
    for (unsigned int i = 0; i < 3; i++) {
        struct job job = changing_job();
        assert_false(run_job_with(&job, children[i], NULL));
        assert_int_equal(run_error.kind, ERROR_REFUSED);
        assert_string_equal(run_error.place, "output");
        assert_non_null(strstr(run_error.detail, "it is not the file that --data-file names"));
        job.further_outputs.count = 0;
        assert_false(run_job_with(&job, children[i], NULL));
        assert_non_null(strstr(run_error.detail, "allow it with --data-file"));
    }
}

/* What is changed is nothing that anything leads to. */
static void read_the_data_file(const struct fake_child *child)
{
    fail_with_the_answer(child, 0, "sub/first", instar_OpenUse_OPEN_DATA);
}

static void read_the_data_file_behind_the_output(const struct fake_child *child)
{
    fail_with_the_answer(child, 1, "sub/first", instar_OpenUse_OPEN_BACKING);
}

static void test_what_is_changed_is_nothing_else_that_the_job_has(void **state)
{
    (void)state;
    static void (*const children[])(const struct fake_child *child) = {read_the_data_file,
                                                                       read_the_data_file_behind_the_output};
    for (unsigned int i = 0; i < 2; i++) {
        struct job job = changing_job();
        assert_false(run_job_with(&job, children[i], NULL));
        assert_int_equal(run_error.kind, ERROR_USAGE);
        assert_string_equal(run_error.detail, "the output is a file that the input leads to");
    }
    static const char *const others[] = {"input", "output", "missing", "sub"};
    for (unsigned int i = 0; i < 4; i++) {
        struct job job = changing_job();
        job.further_outputs.list[0].image.path = others[i];
        assert_false(run_job_with(&job, end_well, NULL));
    }
}

static void expect_device(const struct fake_child *child, uint32_t referrer, const char *name, instar_OpenUse use,
                          uint32_t device)
{
    int fd;
    struct grant grant = ask_for(child, referrer, name, use, &fd);
    if (!grant.is_granted || !grant.has_device || grant.device != device || fd >= 0) {
        _exit(3);
    }
}

static void expect_refusal(const struct fake_child *child, uint32_t referrer, const char *name, instar_OpenUse use)
{
    int fd;
    if (ask_for(child, referrer, name, use, &fd).is_granted) {
        _exit(4);
    }
}

static void ask_for_what_there_is(const struct fake_child *child)
{
    send_init(child->writer);
    struct grant first = ask(child, 0, "sub/first");
    struct grant again = ask(child, 0, "./sub/first");
    if (!first.is_granted || first.has_device || !again.is_granted || again.has_device != run_note.number ||
        (again.has_device && again.device != 1)) {
        _exit(5);
    }
    if (run_note.number != 0) {
        expect_device(child, 0, "input", instar_OpenUse_OPEN_BACKING, 0);
    }
    end_well(child);
}

static void test_a_file_that_a_device_has_gets_no_second_one_where_the_job_joins_them(void **state)
{
    (void)state;
    struct job job = late_job();
    assert_true(run_job_with(&job, ask_for_what_there_is, NULL));
    assert_int_equal(run_result.device_count, 3);
    job.joins_files = true;
    run_note.number = 1;
    assert_true(run_job_with(&job, ask_for_what_there_is, NULL));
    assert_int_equal(run_result.device_count, 2);
}

#define BASE_DEVICE 2u
#define BASE_DATA_DEVICE 3u

/* A job that changes the output, what is behind it, and the data file of that. */
static struct job committing_job(void)
{
    struct job job = changing_job();
    static struct job_output outputs[2];
    outputs[0] = (struct job_output){.image = {"sub/first", 512, BACKEND_REGULAR}, .role = JOB_OUTPUT_BACKING};
    outputs[1] =
        (struct job_output){.image = {"sub/second", 512, BACKEND_REGULAR}, .role = JOB_OUTPUT_DATA, .owner = 1};
    job.further_outputs = (struct job_outputs){.list = outputs, .count = 2};
    return job;
}

static void write_to_what_is_behind(const struct fake_child *child)
{
    send_init(child->writer);
    expect_device(child, 1, "sub/first", instar_OpenUse_OPEN_BACKING, BASE_DEVICE);
    expect_device(child, 0, "sub/first", instar_OpenUse_OPEN_BACKING, BASE_DEVICE);
    expect_device(child, BASE_DEVICE, "second", instar_OpenUse_OPEN_DATA, BASE_DATA_DEVICE);
    /* The output's own data is only read, and may not be what another one writes. */
    expect_refusal(child, 1, "sub/second", instar_OpenUse_OPEN_DATA);
    expect_refusal(child, 1, "sub/second", instar_OpenUse_OPEN_BACKING);
    expect_refusal(child, 1, "sub/first", instar_OpenUse_OPEN_DATA);
    expect_refusal(child, BASE_DEVICE, "first", instar_OpenUse_OPEN_DATA);
    if (write(child->ties->images[BASE_DEVICE].fd, "FIRST", 5) != 5 ||
        write(child->ties->images[BASE_DATA_DEVICE].fd, "SECOND", 6) != 6) {
        _exit(6);
    }
    end_well(child);
}

static void test_what_is_behind_the_output_is_written_with_its_data(void **state)
{
    (void)state;
    struct job job = committing_job();
    assert_true(run_job_with(&job, write_to_what_is_behind, NULL));
    assert_file_content("sub/first", "FIRST");
    assert_file_content("sub/second", "SECOND");
    assert_file_content("output", "old");
    assert_int_equal(run_result.device_count, 4);
}

static void test_what_is_written_is_what_was_chosen_and_written_once(void **state)
{
    (void)state;
    struct job job = committing_job();
    job.further_outputs.list[0].has_identity = true;
    assert_false(run_job_with(&job, end_well, NULL));
    assert_non_null(strstr(run_error.detail, "not what it was a moment ago"));
    job = committing_job();
    job.further_outputs.list[1].image.path = "sub/../sub/first";
    assert_false(run_job_with(&job, end_well, NULL));
    assert_non_null(strstr(run_error.detail, "writes to it twice"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_enter, tree_leave)

int main(int argc, char **argv)
{
    child_enter(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_devices_have_the_paths_that_users_know),
        TEST(test_late_devices_come_behind_the_output),
        TEST(test_a_part_leads_nowhere),
        TEST(test_the_output_leads_nowhere),
        TEST(test_a_file_in_use_is_refused),
        TEST(test_what_is_missing_is_told_with_the_image_that_names_it),
        TEST(test_no_file_behind_an_input_may_be_the_output),
        TEST(test_there_are_only_so_many_devices),
        TEST(test_by_default_an_image_leads_nowhere),
        TEST(test_what_a_file_is_for_must_be_known),
        TEST(test_the_data_file_that_the_user_named_is_changed),
        TEST(test_no_other_file_is_changed),
        TEST(test_what_is_changed_is_nothing_else_that_the_job_has),
        TEST(test_a_file_that_a_device_has_gets_no_second_one_where_the_job_joins_them),
        TEST(test_what_is_behind_the_output_is_written_with_its_data),
        TEST(test_what_is_written_is_what_was_chosen_and_written_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
