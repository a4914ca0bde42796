/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one job of the image program in the machine (image_command.h), from the file that IMAGE_PROGRAM names, on
 * IMAGE_VCPUS vCPUs. What comes out must be what image_native prints.
 */
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "host/job/job.h"
#include "image_command.h"

#define PROGRAM_LEN_MAX (16u << 20)
#define ARENA_LEN (64ull << 20)

static struct span read_program(const char *path)
{
    FILE *file = path != NULL ? fopen(path, "rb") : NULL;
    uint8_t *bytes = malloc(PROGRAM_LEN_MAX);
    if (file == NULL || bytes == NULL) {
        fputs("image_machine: IMAGE_PROGRAM names no program\n", stderr);
        exit(2);
    }
    struct span program = {bytes, fread(bytes, 1, PROGRAM_LEN_MAX, file)};
    fclose(file);
    return program;
}

static void on_message(void *context, const instar_GuestMessage *message)
{
    (void)context;
    image_command_print(message);
}

static void on_debug_line(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "debug: %s\n", text);
}

static void add_images(struct job *job, const struct image_command *command)
{
    job->input_count = command->job.sources_count;
    for (unsigned int i = 0; i < job->input_count; i++) {
        job->inputs[i] = (struct job_image){.path = command->paths[i], .sector_len = JOB_SECTOR_LEN_MIN};
    }
    pb_size_t operation = command->job.which_operation;
    if (operation == instar_ImageJob_resize_tag || operation == instar_ImageJob_snapshots_tag ||
        operation == instar_ImageJob_bitmap_tag || (operation == instar_ImageJob_bench_tag && command->write)) {
        job->input_count = 0;
        job->output_kind = JOB_OUTPUT_IN_PLACE;
        job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
        job->resizes_output = true;
        job->output = job->inputs[0];
    } else if (command->target != NULL) {
        job->output_kind = command->target_exists ? JOB_OUTPUT_IN_PLACE : JOB_OUTPUT_NEW;
        job->resizes_output = command->target_exists;
        job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
        job->output = (struct job_image){.path = command->target, .sector_len = JOB_SECTOR_LEN_MIN};
    }
}

int main(int argc, char **argv)
{
    static struct image_command command;
    static uint8_t encoded[instar_ImageJob_size];
    static struct job_result result;
    image_command_parse(&command, argc, argv);
    pb_ostream_t stream = pb_ostream_from_buffer(encoded, sizeof(encoded));
    if (!pb_encode(&stream, instar_ImageJob_fields, &command.job)) {
        return 2;
    }
    const char *vcpus = getenv("IMAGE_VCPUS");
    struct policy policy = {0};
    struct job job = {
        .program_name = "image.bin",
        .program = read_program(getenv("IMAGE_PROGRAM")),
        .message = {encoded, stream.bytes_written},
        .arena_len = ARENA_LEN,
        .arena_len_min = ARENA_LEN,
        .use_ioeventfd = true,
        .vcpu_count = vcpus != NULL ? (uint32_t)strtoul(vcpus, NULL, 10) : 1,
        .policy = &policy,
        .late_device_count = JOB_LATE_DEVICE_MAX,
        .want_debug = true,
    };
    add_images(&job, &command);
    struct job_observer observer = {.guest_message = on_message, .debug_line = on_debug_line};
    struct error error = {0};
    bool success = job_run(&job, &observer, &result, &error);
    instar_GuestMessage last = {.which_kind = instar_GuestMessage_complete_tag, .kind.complete = result.complete};
    image_command_print(&last);
    if (!success) {
        fprintf(stderr, "image_machine: %s: %s\n", error.place, error.detail);
    }
    job_result_release(&result);
    return success ? 0 : 1;
}
