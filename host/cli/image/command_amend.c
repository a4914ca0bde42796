/* SPDX-License-Identifier: Apache-2.0 */
/* `amend`: what an image is said to be is changed. */
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/text.h"
#include "host/cli/command.h"
#include "host/cli/image/format_options.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/names/image_driver.h"
#include "host/cli/image/target_formats.h"
#include "host/cli/report.h"

enum {
    OPTION_FORCE = IMAGE_OPTION_COMMAND_FIRST,
};

static const struct option amend_options[] = {
    {"force", no_argument, NULL, OPTION_FORCE},
    IMAGE_OPTIONS,
};

static const char amend_help[] = "Usage: instar amend -o OPTION=VALUE,... [OPTION]... FILE\n"
                                 "Change what a disk image is said to be, where the image is: its version,\n"
                                 "features, the length of its disk.\n"
                                 "\n"
                                 "Options:\n"
                                 "  -o OPTION=VALUE,...      what to change; repeatable; -o help lists the\n"
                                 "                           options\n"
                                 "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                 "                           looks like\n"
                                 "  -t MODE                  how to write: none and directsync past the page\n"
                                 "                           cache, directsync and writethrough to stable storage\n"
                                 "  -p                       show the percentage on standard output\n"
                                 "  -q                       do not\n"
                                 "  --force                  also what loses the disk: its last passphrase may go\n"
                                 "  -h                       show this text\n";

struct amend {
    struct command_job job;
    struct key_values options;
    const char *cache;
    bool is_for_creation; /* an option that only a new image can have */
};

static bool option_take(struct amend *amend, int code)
{
    struct command_job *job = &amend->job;
    switch (code) {
    case '?':
        return false;
    case 'o':
        return format_options_take(&amend->options, optarg, &job->error);
    case 't':
        amend->cache = optarg;
        return true;
    case OPTION_FORCE:
        job->message.operation.amend.force = true;
        return true;
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool name_take(const char *value, pb_byte_t *bytes, size_t room, pb_size_t *ret_len, struct error *error)
{
    size_t len = strlen(value);
    if (len > room) {
        return error_set(error, ERROR_USAGE, NULL, "the name of a file has more than %zu bytes", room);
    }
    memcpy(bytes, value, len);
    *ret_len = (pb_size_t)len;
    return true;
}

/* One that is not empty, and the last one of its name. */
static bool option_encode(instar_AmendRequest *request, const struct key_value *option, bool is_luks,
                          struct error *error)
{
    if (strcmp(option->key, "backing_file") == 0) {
        request->has_backing_file = true;
        return name_take(option->value, request->backing_file.bytes, sizeof(request->backing_file.bytes),
                         &request->backing_file.size, error);
    }
    if (strcmp(option->key, "data_file") == 0) {
        request->has_data_file = true;
        return name_take(option->value, request->data_file.bytes, sizeof(request->data_file.bytes),
                         &request->data_file.size, error);
    }
    request->encryption = request->encryption || is_luks || strncmp(option->key, "encrypt.", strlen("encrypt.")) == 0;
    instar_FormatOption *target = &request->options[request->options_count];
    if (request->options_count == ARRAY_COUNT(request->options) || strlen(option->value) >= sizeof(target->value)) {
        return error_set(error, ERROR_USAGE, NULL, "the value of '%s' is too long", option->key);
    }
    text_copy(target->name, sizeof(target->name), option->key);
    text_copy(target->value, sizeof(target->value), option->value);
    request->options_count++;
    return true;
}

/* As -f says, or the image's name; otherwise qcow2, the format of most images that are amended. */
static bool format_find(const struct amend *amend, bool must_be_known, const struct target_format **ret_format,
                        struct error *error)
{
    const struct command_job *job = &amend->job;
    const char *name = job->options.format;
    if (name == NULL && job->source_count > 0 && job->sources[0].format[0] != '\0') {
        name = job->sources[0].format;
    }
    if (name != NULL && must_be_known && image_driver_find(name) == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Unknown file format '%s'", name);
    }
    bool is_luks = name != NULL && strcmp(name, "luks") == 0;
    if (name != NULL && image_driver_find(name) != NULL && strcmp(name, "qcow2") != 0 && !is_luks) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver '%s' does not support option amendment", name);
    }
    return target_format_find(is_luks ? "luks" : "qcow2", ret_format, error);
}

static bool request_encode(struct amend *amend)
{
    struct command_job *job = &amend->job;
    const struct target_format *format;
    RETURN_IF_FAILED(format_find(amend, false, &format, &job->error) &&
                     target_format_check_amended(format, &amend->options, &amend->is_for_creation, &job->error));
    bool is_luks = strcmp(format->name, "luks") == 0;
    for (unsigned int i = 0; i < amend->options.count; i++) {
        const struct key_value *option = &amend->options.pairs[i];
        bool is_last = key_values_find(&amend->options, option->key) == option->value;
        RETURN_IF_FAILED(!is_last || option_encode(&job->message.operation.amend, option, is_luks, &job->error));
    }
    return true;
}

/* The list of options needs no image where the format is given. */
static bool wants_option_list(const struct amend *amend)
{
    return format_options_ask_help(&amend->options);
}

static bool arguments_take(struct amend *amend, int argc, char **argv)
{
    struct command_job *job = &amend->job;
    job->message.which_operation = instar_ImageJob_amend_tag;
    job->writes_source = true;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":ho:f:t:pq", amend_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(amend, code));
    }
    if (job->options.machine.want_help || job->options.machine.want_version) {
        return true;
    }
    if (amend->options.count == 0) {
        return image_options_fail(&job->options, &job->error, "Must specify options (-o)");
    }
    if (wants_option_list(amend) && (job->options.format != NULL || argc - optind == 1)) {
        return true;
    }
    if (argc - optind != 1) {
        return error_set(&job->error, ERROR_USAGE, NULL, "Expecting one image file name");
    }
    RETURN_IF_FAILED((amend->cache == NULL || command_job_take_target_cache(job, amend->cache)) &&
                     command_job_add_source(job, argv[optind], job->options.format));
    job->message.operation.amend.is_header = command_job_choose_header(job);
    return request_encode(amend);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return command_job_unexpected(message, error);
}

static void amend_run(struct amend *amend)
{
    struct command_job *job = &amend->job;
    const struct target_format *format;
    if (wants_option_list(amend)) {
        if (format_find(amend, true, &format, &job->error)) {
            target_format_help_amended(format);
        }
        return;
    }
    job->message.operation.amend.sync = job->options.machine.job.sync;
    bool is_opened = command_job_run(job, JOB_CONVERT, message_take, amend) || !job->result.is_opening;
    if (is_opened) {
        command_job_show_progress(job, 100);
    }
    command_job_end_progress(job);
}

int command_amend(int argc, char **argv)
{
    static struct amend amend;
    struct command_job *job = &amend.job;
    command_job_init(job);
    if (arguments_take(&amend, argc, argv) && !command_job_explain(job, amend_help)) {
        amend_run(&amend);
    }
    int exit_code = command_job_end(job, EXIT_OK, EXIT_ERROR);
    if (amend.is_for_creation) {
        fprintf(stderr, "This option is only supported for image creation\n");
    }
    key_values_release(&amend.options);
    return exit_code;
}
