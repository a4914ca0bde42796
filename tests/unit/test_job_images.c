/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs by their images: several inputs, no output, an output in place, and what results say about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "test_job_run_support.h"
#include "test_job_support.h"

static void end_well(const struct fake_child *child)
{
    send_init(child->writer);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}

/* As many images as the note says. */
static void expect_inputs(const struct fake_child *child)
{
    if (child->ties->image_count != run_note.number) {
        _exit(2);
    }
    for (unsigned int i = 0; i < run_note.number; i++) {
        const struct child_image *image = &child->ties->images[i];
        char content[64];
        ssize_t len = pread(image->fd, content, sizeof(content), 0);
        if (image->is_output || image->zeroed || image->is_resizable || image->len != (uint64_t)len ||
            pwrite(image->fd, "x", 1, 0) >= 0) {
            _exit(3);
        }
    }
    end_well(child);
}

static void test_a_job_without_an_output(void **state)
{
    (void)state;
    struct job job = run_job_default();
    job.output_kind = JOB_OUTPUT_NONE;
    run_note.number = 1;
    assert_true(run_job_with(&job, expect_inputs, NULL));
    assert_int_equal(directory_count(), 1);
    assert_int_equal(run_result.device_count, 1);
}

static void test_as_many_inputs_as_there_may_be(void **state)
{
    (void)state;
    struct job job = run_job_default();
    static char names[JOB_INPUT_MAX][16];
    for (unsigned int i = 0; i < JOB_INPUT_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "input %u", i);
        names[i][5 + i % 3] = '\0'; /* some of them twice, and more often */
        file_make(names[i], names[i]);
        job.inputs[i] = (struct job_image){names[i], 512, BACKEND_REGULAR};
    }
    job.input_count = JOB_INPUT_MAX;
    job.output_kind = JOB_OUTPUT_NONE;
    run_note.number = JOB_INPUT_MAX;
    assert_true(run_job_with(&job, expect_inputs, NULL));
    assert_int_equal(run_result.device_count, JOB_INPUT_MAX);
    for (unsigned int i = 0; i < JOB_INPUT_MAX; i++) {
        const struct job_device *device = &run_result.devices[i];
        struct stat status;
        assert_int_equal(stat(names[i], &status), 0);
        assert_string_equal(device->path, names[i]);
        assert_int_equal(device->len, strlen(names[i]));
        assert_int_equal(device->allocated_len, status.st_blocks * 512);
        assert_true(device->is_regular);
        assert_int_equal(device->referrer, i);
    }
}

static void test_the_first_input_that_cannot_be_opened(void **state)
{
    (void)state;
    struct job job = run_job_default();
    job.inputs[1] = (struct job_image){"nothing", 512, BACKEND_REGULAR};
    job.input_count = 2;
    assert_false(run_job_with(&job, end_well, NULL));
    assert_string_equal(run_error.place, "nothing");
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 1);
    assert_int_equal(directory_count(), 1);
}

static void test_no_input_may_be_the_output(void **state)
{
    (void)state;
    file_make("second", "x");
    struct job job = run_job_default();
    job.inputs[1] = (struct job_image){"second", 512, BACKEND_REGULAR};
    job.input_count = 2;
    job.output.path = "./second";
    static const enum job_output_kind kinds[] = {JOB_OUTPUT_NEW, JOB_OUTPUT_IN_PLACE};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        job.output_kind = kinds[i];
        assert_false(run_job_with(&job, end_well, NULL));
        assert_int_equal(run_error.kind, ERROR_USAGE);
        assert_string_equal(run_error.detail, "the output is the input");
        assert_file_content("second", "x");
    }
}

static void write_in_place(const struct fake_child *child)
{
    const struct child_image *output = child->output;
    if (!output->is_output || output->zeroed || output->is_resizable || !output->is_regular || output->len != 8 ||
        pwrite(output->fd, "new", 3, 2) != 3) {
        _exit(2);
    }
    end_well(child);
}

static void write_in_place_and_fail(const struct fake_child *child)
{
    send_init(child->writer);
    if (pwrite(child->output->fd, "new", 3, 2) != 3) {
        _exit(2);
    }
    send_complete(child->writer, false);
    send_end(child->writer, true, ERROR_NONE, "");
}

/* As many outputs as there may be, each of which gets its own number as content. */
static void write_all_outputs(const struct fake_child *child)
{
    for (unsigned int i = 1; i < child->ties->image_count; i++) {
        const struct child_image *image = &child->ties->images[i];
        char number[16];
        int len = snprintf(number, sizeof(number), "%u", i - 1);
        if (!image->is_output || !image->zeroed || image->len != 0 || write(image->fd, number, (size_t)len) != len) {
            _exit(2);
        }
    }
    if (child->ties->image_count != 2 + JOB_FURTHER_OUTPUT_MAX || run_note.number != 0) {
        _exit(3);
    }
    end_well(child);
}

static void test_a_new_image_of_as_many_files_as_there_may_be(void **state)
{
    (void)state;
    struct job job = run_job_default();
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    for (unsigned int i = 0; i < JOB_FURTHER_OUTPUT_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "part %u", i + 1);
        struct job_output part = {.image = {name, 512, BACKEND_REGULAR}, .role = JOB_OUTPUT_PART};
        assert_true(job_outputs_add(&job.further_outputs, &part, &run_error));
    }
    struct job_output one_too_many = {.image = {"no part", 512, BACKEND_REGULAR}, .role = JOB_OUTPUT_PART};
    assert_false(job_outputs_add(&job.further_outputs, &one_too_many, &run_error));
    run_note.number = 1; /* what the guest reports as a failure leaves none of them */
    assert_false(run_job_with(&job, write_all_outputs, NULL));
    assert_int_equal(directory_count(), 1);
    run_note.number = 0;
    assert_true(run_job_with(&job, write_all_outputs, NULL));
    assert_int_equal(directory_count(), 2 + JOB_FURTHER_OUTPUT_MAX);
    assert_file_content("output", "0");
    assert_file_content("part 1", "1");
    assert_file_content("part 2049", "2049");
    assert_int_equal(run_result.device_count, 2 + JOB_FURTHER_OUTPUT_MAX);
    assert_string_equal(run_result.devices[2].path, "part 1");
    job_outputs_release(&job.further_outputs);
}

/* The second part cannot get its name. */
static void write_outputs_beside_a_directory(const struct fake_child *child)
{
    for (unsigned int i = 1; i < child->ties->image_count; i++) {
        if (write(child->ties->images[i].fd, "new", 3) != 3) {
            _exit(2);
        }
    }
    if (mkdir("part 2", 0700) != 0) {
        _exit(3);
    }
    end_well(child);
}

static void test_an_image_that_is_replaced_never_stands_beside_new_parts(void **state)
{
    (void)state;
    struct job job = run_job_default();
    static const char *const names[] = {"part 1", "part 2"};
    file_make("output", "old image");
    file_make("part 1", "old part");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct job_output part = {.image = {names[i], 512, BACKEND_REGULAR}, .role = JOB_OUTPUT_PART};
        assert_true(job_outputs_add(&job.further_outputs, &part, &run_error));
    }
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    assert_false(run_job_with(&job, write_outputs_beside_a_directory, NULL));
    assert_string_equal(run_error.place, "part 2");
    assert_file_content("part 1", "new");
    assert_int_equal(access("output", F_OK), -1);
    assert_int_equal(directory_count(), 3); /* with the input */
    assert_int_equal(rmdir("part 2"), 0);
    job_outputs_release(&job.further_outputs);
}

static struct job in_place_job(void)
{
    struct job job = run_job_default();
    file_make("output", "old text");
    job.output_kind = JOB_OUTPUT_IN_PLACE;
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    return job;
}

static void test_an_output_in_place_stays_the_file_that_it_is(void **state)
{
    (void)state;
    struct job job = in_place_job();
    struct stat before;
    struct stat after;
    assert_int_equal(link("output", "other name"), 0);
    assert_int_equal(stat("output", &before), 0);
    assert_true(run_job_with(&job, write_in_place, NULL));
    assert_int_equal(stat("output", &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_file_content("other name", "olnewext");
    assert_int_equal(run_result.devices[1].len, 8);
    assert_int_equal(directory_count(), 3);
}

static void test_an_output_in_place_is_what_a_link_leads_to(void **state)
{
    (void)state;
    struct job job = in_place_job();
    assert_int_equal(symlink("output", "link"), 0);
    job.output.path = "link";
    assert_true(run_job_with(&job, write_in_place, NULL));
    assert_file_content("output", "olnewext");
}

static void test_a_failure_leaves_an_output_in_place(void **state)
{
    (void)state;
    struct job job = in_place_job();
    assert_false(run_job_with(&job, write_in_place_and_fail, NULL));
    assert_file_content("output", "olnewext");
}

static void test_an_output_in_place_must_exist_and_be_long_enough(void **state)
{
    (void)state;
    struct job job = in_place_job();
    job.output.path = "nothing";
    assert_false(run_job_with(&job, write_in_place, NULL));
    assert_int_equal(run_error.kind, ERROR_IO);
    assert_string_equal(run_error.detail, "cannot open: No such file or directory");
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 1);
    job.output.path = "output";
    job.output_len = JOB_OUTPUT_AS_INPUT;
    assert_false(run_job_with(&job, write_in_place, NULL));
    assert_int_equal(run_error.kind, ERROR_NO_SPACE);
    assert_string_equal(run_error.detail, "the file has 8 bytes, the output needs 14");
}

static void set_length(const struct fake_child *child)
{
    const struct child_image *output = child->output;
    if (!output->is_resizable || !output->zeroed || output->len != 0 || ftruncate(output->fd, 5) != 0) {
        _exit(2);
    }
    end_well(child);
}

static void test_a_new_output_has_the_length_that_the_guest_gives_it(void **state)
{
    (void)state;
    struct job job = run_job_default();
    job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
    assert_true(run_job_with(&job, set_length, NULL));
    struct stat status;
    assert_int_equal(stat("output", &status), 0);
    assert_int_equal(status.st_size, 5);
}

static void name_a_device(const struct fake_child *child)
{
    instar_GuestMessage message = {.which_kind = instar_GuestMessage_info_tag,
                                   .kind.info = {.device = run_note.number}};
    send_init(child->writer);
    send_message(child->writer, &message);
    send_complete(child->writer, true);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void test_observers_see_devices_that_exist(void **state)
{
    (void)state;
    struct job job = run_job_default();
    run_note.number = 1;
    assert_true(run_job_with(&job, name_a_device, NULL));
    run_note.number = 2;
    assert_false(run_job_with(&job, name_a_device, NULL));
    assert_int_equal(run_error.kind, ERROR_GUEST);
    assert_string_equal(run_error.detail, "the guest reports something about device 2, which does not exist");
}

static void fail_to_open(const struct fake_child *child)
{
    instar_GuestMessage message = {
        .which_kind = instar_GuestMessage_complete_tag,
        .kind.complete = {
            .has_error = true,
            .error = {.kind = ERROR_MALFORMED, .place = "device 0", .detail = "no image", .opening = true}}};
    send_init(child->writer);
    send_message(child->writer, &message);
    send_end(child->writer, true, ERROR_NONE, "");
}

static void test_a_guest_that_cannot_open_an_image(void **state)
{
    (void)state;
    struct job job = run_job_default();
    job.output_kind = JOB_OUTPUT_NONE;
    assert_false(run_job_with(&job, fail_to_open, NULL));
    assert_true(run_result.is_opening);
    assert_int_equal(run_result.opening_device, 0);
    assert_string_equal(run_error.place, "input");
    assert_string_equal(run_error.detail, "no image");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, run_enter, run_leave)

int main(int argc, char **argv)
{
    child_enter(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_a_job_without_an_output),
        TEST(test_as_many_inputs_as_there_may_be),
        TEST(test_the_first_input_that_cannot_be_opened),
        TEST(test_no_input_may_be_the_output),
        TEST(test_a_new_image_of_as_many_files_as_there_may_be),
        TEST(test_an_image_that_is_replaced_never_stands_beside_new_parts),
        TEST(test_an_output_in_place_stays_the_file_that_it_is),
        TEST(test_an_output_in_place_is_what_a_link_leads_to),
        TEST(test_a_failure_leaves_an_output_in_place),
        TEST(test_an_output_in_place_must_exist_and_be_long_enough),
        TEST(test_a_new_output_has_the_length_that_the_guest_gives_it),
        TEST(test_observers_see_devices_that_exist),
        TEST(test_a_guest_that_cannot_open_an_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
