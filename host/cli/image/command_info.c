/* SPDX-License-Identifier: Apache-2.0 */
/* `info`: what an image is, and with --backing-chain what is behind it. */
#include <stdio.h>
#include <stdlib.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/names/image_node.h"
#include "host/cli/image/print/detail_reader.h"
#include "host/cli/image/print/info_print.h"
#include "host/cli/image/values/value_print.h"
#include "host/cli/report.h"

enum {
    OPTION_BACKING_CHAIN = IMAGE_OPTION_COMMAND_FIRST,
};

static const struct option info_options[] = {
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"backing-chain", no_argument, NULL, OPTION_BACKING_CHAIN},
    {"force-share", no_argument, NULL, 'U'},
    IMAGE_OPTIONS,
};

static const char info_help[] = "Usage: instar info [OPTION]... FILE\n"
                                "Tell what a disk image is. As with all commands on images, FILE is parsed\n"
                                "inside a virtual machine.\n"
                                "\n"
                                "Options:\n"
                                "  -f, --format FORMAT      FILE is of this format, instead of the one that it\n"
                                "                           looks like\n"
                                "  --output human|json      print text (default) or JSON\n"
                                "  --backing-chain          tell of the images behind it as well\n"
                                "  -U, --force-share        also when the image is in use\n"
                                "  -h                       show this text\n";

struct info {
    struct command_job job;
    struct value_tree tree;
    struct value *all_details; /* a list of the images' */
    struct detail_reader reader;
    unsigned int count;
    struct info_image *images; /* of JOB_DEVICE_MAX */
    char *shown_name;          /* of the first one, where it is no path; NULL otherwise */
    char *shown_file;          /* and of its file, where it is within another image */
};

static bool arguments_take(struct info *info, int argc, char **argv)
{
    struct command_job *job = &info->job;
    instar_InfoRequest *request = &job->message.operation.info;
    job->message.which_operation = instar_ImageJob_info_tag;
    job->leaves_backing = true;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":hf:U", info_options, &job->error)) != -1) {
        if (code == OPTION_BACKING_CHAIN) {
            request->backing_chain = true;
        } else if (code == '?' || !image_options_take(&job->options, code, optarg, &job->error)) {
            return false;
        }
    }
    return command_job_add_operand(job, argc, argv);
}

static bool has_named_backing(const struct command_job *job)
{
    return job->source_count > 0 && job->sources[0].backing_key[0] != '\0';
}

/*
 * As in qemu-img, which here opens nothing that is behind an image, so that no driver takes what is said of it: the
 * first of these options in the order of its dictionary.
 */
static bool backing_check(struct info *info)
{
    const struct command_job *job = &info->job;
    if (!has_named_backing(job)) {
        return true;
    }
    error_fill(&info->job.error, ERROR_USAGE, job->sources[0].path,
               "Block format '%.32s' does not support the option '%.100s'", info->images[0].message.format,
               job->sources[0].backing_key);
    info->job.result.is_opening = true;
    info->job.result.opening_device = 0;
    return false;
}

static bool image_add(struct info *info, const instar_InfoMessage *message, struct error *error)
{
    RETURN_IF_FAILED(info_message_check(message, error));
    if (info->count > 0) {
        RETURN_IF_FAILED(detail_reader_check(&info->reader, error));
    }
    bool wants_more = info->count == 0 || info->job.message.operation.info.backing_chain;
    if (!wants_more || info->count == JOB_DEVICE_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "the guest tells of more images than there are");
    }
    const struct job_device *device = &info->job.result.devices[message->device];
    const char *shown_format = message->device == 0 ? info->job.sources[0].shown_format : NULL;
    struct info_image *image = &info->images[info->count++];
    image->message = *message;
    image->path = image->file_path = device->path;
    const struct image_name *first = &info->job.sources[0];
    bool has_node = first->window.is_set || first->has_raw_file || first->layer_count > 0 || first->has_key_secret;
    if (message->device == 0 && has_node && info->shown_name == NULL) {
        bool is_within = image_name_top_layer(first) != NULL;
        info->shown_name = image_node_show(first, image->message.format);
        info->shown_file = is_within ? image_node_show_file(first) : NULL;
        if (info->shown_name == NULL || (is_within && info->shown_file == NULL)) {
            return error_set(error, ERROR_HOST, NULL, "out of memory");
        }
        image->path = info->shown_name;
    }
    image->format = shown_format != NULL ? shown_format : image->message.format;
    image->allocated_len = device->allocated_len;
    if (device->allocated_len > UINT64_MAX - message->further_storage) {
        image->allocated_len = UINT64_MAX; /* unknown */
    } else {
        image->allocated_len += message->further_storage;
    }
    image->details = value_add_object(&info->tree, info->all_details, "");
    detail_reader_init(&info->reader, &info->tree, image->details, &info->job.result);
    info->reader.first_name = info->count == 1 ? info->shown_file : NULL;
    return value_tree_check(&info->tree, error);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct info *info = context;
    if (message->which_kind == instar_GuestMessage_info_tag) {
        return image_add(info, &message->kind.info, error);
    }
    if (message->which_kind == instar_GuestMessage_detail_tag && info->count > 0) {
        return detail_reader_take(&info->reader, &message->kind.detail, error);
    }
    return command_job_unexpected(message, error);
}

static bool json_print(struct info *info, struct error *error)
{
    struct value *documents = value_add_list(&info->tree, &info->tree.root, "documents");
    for (unsigned int i = 0; i < info->count; i++) {
        info_add(&info->tree, documents, "", &info->images[i]);
    }
    RETURN_IF_FAILED(value_tree_check(&info->tree, error));
    value_print_json(stdout, info->job.message.operation.info.backing_chain ? documents : documents->first);
    putchar('\n');
    return true;
}

static bool result_print(struct info *info, struct error *error)
{
    if (info->count == 0) {
        return error_set(error, ERROR_GUEST, NULL, "the guest did not tell of the image");
    }
    RETURN_IF_FAILED(detail_reader_check(&info->reader, error));
    if (info->job.options.want_json) {
        return json_print(info, error);
    }
    for (unsigned int i = 0; i < info->count; i++) {
        if (i > 0) {
            putchar('\n');
        }
        info_print_human(stdout, &info->images[i]);
    }
    return true;
}

static void info_run(struct info *info)
{
    struct command_job *job = &info->job;
    info->images = calloc(JOB_DEVICE_MAX, sizeof(*info->images));
    value_tree_init(&info->tree);
    if (has_named_backing(job)) {
        job->message.operation.info.backing_chain = false; /* it will be refused: nothing more is opened for it */
    }
    info->all_details = value_add_list(&info->tree, &info->tree.root, "details");
    bool success = info->images != NULL || error_set(&job->error, ERROR_HOST, NULL, "out of memory");
    success = success && command_job_run(job, JOB_INSPECT, message_take, info) && backing_check(info) &&
              result_print(info, &job->error);
    (void)success; /* job.error says it */
    value_tree_release(&info->tree);
    free(info->images);
    free(info->shown_name);
    free(info->shown_file);
}

int command_info(int argc, char **argv)
{
    static struct info info;
    command_job_init(&info.job);
    if (arguments_take(&info, argc, argv) && !command_job_explain(&info.job, info_help)) {
        info_run(&info);
    }
    return command_job_end(&info.job, EXIT_OK, EXIT_ERROR);
}
