/* SPDX-License-Identifier: Apache-2.0 */
/* `map`: where in which file the data of an image is. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/names/image_node.h"
#include "host/cli/image/print/map_print.h"
#include "host/cli/report.h"

static const struct option map_options[] = {
    {"format", required_argument, NULL, 'f'},       {"output", required_argument, NULL, OPTION_OUTPUT},
    {"start-offset", required_argument, NULL, 's'}, {"max-length", required_argument, NULL, 'l'},
    {"force-share", no_argument, NULL, 'U'},        IMAGE_OPTIONS,
};

static const char map_help[] = "Usage: instar map [OPTION]... FILE\n"
                               "Tell where the data of a disk image is: in which file of its chain, and at\n"
                               "which offset.\n"
                               "\n"
                               "Options:\n"
                               "  -f, --format FORMAT      FILE is of this format, instead of the one that it\n"
                               "                           looks like\n"
                               "  --output human|json      print a table of data (default), or all in JSON\n"
                               "  -s, --start-offset N     begin at this byte of the virtual disk; k, M, G, T,\n"
                               "                           P, E are understood\n"
                               "  -l, --max-length N       go on for so many bytes\n"
                               "  -U, --force-share        also when the image is in use\n"
                               "  -h                       show this text\n";

struct map {
    struct command_job job;
    struct map_print print;
};

static bool option_take(struct map *map, int code)
{
    struct command_job *job = &map->job;
    instar_MapRequest *request = &job->message.operation.map;
    switch (code) {
    case '?':
        return false;
    case 's':
        return size_argument_parse("start offset", optarg, &request->start, &job->error);
    case 'l':
        return size_argument_parse("max length", optarg, &request->length, &job->error);
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool arguments_take(struct map *map, int argc, char **argv)
{
    struct command_job *job = &map->job;
    job->message.which_operation = instar_ImageJob_map_tag;
    job->message.operation.map.length = UINT64_MAX;
    int code;
    while ((code = image_options_next(&job->options, argc, argv, ":f:s:l:hU", map_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(map, code));
    }
    return command_job_add_operand(job, argc, argv);
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct map *map = context;
    if (message->which_kind != instar_GuestMessage_map_tag) {
        return command_job_unexpected(message, error);
    }
    return map_print_take(&map->print, &message->kind.map, error);
}

/* What QEMU calls the file of an image's data, and where offsets in it are counted from. False: no memory is left. */
static bool file_describe(const struct image_name *input, char **ret_name, struct map_file *ret_file)
{
    const struct image_window *window = &input->window;
    bool is_within = image_name_top_layer(input) != NULL;
    bool is_raw_part = !is_within && window->is_set && strcmp(input->format, "raw") == 0;
    bool has_name = is_within || (window->is_set && !is_raw_part);
    if (is_within) {
        *ret_name = image_node_show_file(input);
    } else {
        *ret_name = has_name ? image_window_show_file(window) : NULL;
    }
    *ret_file = (struct map_file){.start_off = is_raw_part ? window->off : 0, .name = *ret_name};
    return !has_name || *ret_name != NULL;
}

static void map_run(struct map *map)
{
    struct command_job *job = &map->job;
    job->options.machine.job.want_console = true; /* an image may have millions of extents */
    const struct job_limits *limits = &job->options.machine.job.limits;
    uint64_t start_off = job->message.operation.map.start;
    map_print_init(&map->print, &job->output, &job->result, limits, job->options.want_json, start_off);
    char *names[JOB_INPUT_MAX] = {0};
    unsigned int count = command_job_input_count(job);
    bool success = true;
    for (unsigned int i = 0; i < count && success; i++) {
        success = file_describe(command_job_input(job, i), &names[i], &map->print.inputs[i]) ||
                  error_set(&job->error, ERROR_HOST, NULL, "out of memory");
    }
    success =
        success && command_job_run(job, JOB_INSPECT, message_take, map) && map_print_end(&map->print, &job->error);
    (void)success; /* job.error says it */
    for (unsigned int i = 0; i < count; i++) {
        free(names[i]);
    }
}

int command_map(int argc, char **argv)
{
    static struct map map;
    command_job_init(&map.job);
    if (arguments_take(&map, argc, argv) && !command_job_explain(&map.job, map_help)) {
        map_run(&map);
    }
    return command_job_end(&map.job, EXIT_OK, EXIT_ERROR);
}
