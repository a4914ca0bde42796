/* SPDX-License-Identifier: Apache-2.0 */
/* The `instar-vmm` program: runs any guest program on an input and an output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/cli/inherited.h"
#include "host/cli/machine_options.h"
#include "host/cli/options.h"
#include "host/cli/outcome.h"
#include "host/cli/output_console.h"
#include "host/cli/program_file.h"
#include "host/cli/reach.h"
#include "host/cli/report.h"
#include "host/cli/status_lines.h"
#include "host/cli/time_limit.h"
#include "host/job/absent_transports.h"
#include "host/job/child/child.h"
#include "host/job/transports.h"

static const char program_name[] = "instar-vmm";

/* Files that a guest may ask for: a backing chain of some length. */
#define LATE_DEVICE_COUNT 8
/* As many samples as the guest keeps. */
#define LATENCY_READS_MAX 100000

enum {
    OPTION_INPUT = OPTION_COMMAND_FIRST,
    OPTION_OUTPUT,
    OPTION_INPUT_SECTOR_SIZE,
    OPTION_OUTPUT_SECTOR_SIZE,
    OPTION_PROGRESS_PERCENT,
    OPTION_REQUEST_SIZE,
    OPTION_DIRECT_IO,
    OPTION_MMAP_BACKING,
    OPTION_IO_URING,
    OPTION_MEMORY_BACKING,
    OPTION_OFFLOAD,
    OPTION_CONSOLE,
    OPTION_TRANSPORT,
    OPTION_LATENCY_READS,
    OPTION_VHOST_USER_INPUT,
    OPTION_VHOST_USER_OUTPUT,
    OPTION_VIRTIOFS,
    OPTION_VSOCK_SOCKET,
};

static const struct option vmm_options[] = {
    {"input", required_argument, NULL, OPTION_INPUT},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"input-sector-size", required_argument, NULL, OPTION_INPUT_SECTOR_SIZE},
    {"output-sector-size", required_argument, NULL, OPTION_OUTPUT_SECTOR_SIZE},
    {"progress-percent", required_argument, NULL, OPTION_PROGRESS_PERCENT},
    {"request-size", required_argument, NULL, OPTION_REQUEST_SIZE},
    {"direct-io", no_argument, NULL, OPTION_DIRECT_IO},
    {"mmap-backing", no_argument, NULL, OPTION_MMAP_BACKING},
    {"io-uring", no_argument, NULL, OPTION_IO_URING},
    {"memory-backing", no_argument, NULL, OPTION_MEMORY_BACKING},
    {"offload", no_argument, NULL, OPTION_OFFLOAD},
    {"console", no_argument, NULL, OPTION_CONSOLE},
    {"transport", required_argument, NULL, OPTION_TRANSPORT},
    {"latency-reads", required_argument, NULL, OPTION_LATENCY_READS},
    {"vhost-user-input", required_argument, NULL, OPTION_VHOST_USER_INPUT},
    {"vhost-user-output", required_argument, NULL, OPTION_VHOST_USER_OUTPUT},
    {"virtiofs", required_argument, NULL, OPTION_VIRTIOFS},
    {"vsock-socket", required_argument, NULL, OPTION_VSOCK_SOCKET},
    BACKING_OPTION,
    MACHINE_OPTIONS,
    {NULL, 0, NULL, 0},
};

static int help_print(void)
{
    printf("Usage: instar-vmm --input FILE --output FILE [OPTION]... GUEST\n"
           "Run the guest program GUEST in a virtual machine, with FILEs as its disks.\n"
           "\n"
           "Options:\n"
           "  --input FILE             device 0, read-only\n"
           "  --output FILE            device 1; gets the length of the input\n"
           "  --input-sector-size N    a power of two from 512 to 16777216 (default 512)\n"
           "  --output-sector-size N   likewise\n"
           "  --progress-percent N     report progress: 0 every 10 sectors (default), 1 to\n"
           "                           99 at each threshold, 100 never\n"
           "  --request-size N         bytes per request, a power of two; K, M are\n"
           "                           understood (default: the guest chooses)\n"
           "  --direct-io              reach the files past the page cache,\n"
           "  --mmap-backing           as mapped memory,\n"
           "  --io-uring               through io_uring,\n"
           "  --memory-backing         or keep the devices in memory\n"
           "  --offload                the guest sets the output's length, and may let the\n"
           "                           host copy from device to device\n"
           "  --console                the machine has a console for messages, behind its\n"
           "                           disks\n"
           "  --transport NAME         how the files reach the guest program, which must\n"
           "                           know it, as transport-copy.bin does; help lists the\n"
           "                           names\n"
           "  --vhost-user-input S     instead of --input, with --transport=vhost-user-blk:\n"
           "                           the socket of a daemon that serves it, as\n"
           "                           qemu-storage-daemon does\n"
           "  --vhost-user-output S    instead of --output, likewise; as long as the input,\n"
           "                           or longer\n"
           "  --virtiofs S             with --transport=virtiofs: the socket of a daemon\n"
           "                           that shares a directory, as virtiofsd does, in which\n"
           "                           --input and --output are names\n"
           "  --vsock-socket PATH      instead of --input and --output, with\n"
           "                           --transport=vsock-socket: a program connects at PATH\n"
           "                           for the input, and listens at PATH_1025 for the\n"
           "                           output\n"
           "  --latency-reads N        instead of a copy, transport-copy.bin times N reads\n"
           "                           of 4 KiB, one at a time\n"
           "%s",
           BACKING_OPTION_HELP MACHINE_OPTIONS_HELP);
    return report_output_end(program_name, EXIT_OK);
}

static bool length_take(const char *name, const char *value, uint32_t *ret_len, struct error *error)
{
    return option_power_parse(name, value, JOB_SECTOR_LEN_MIN, JOB_SECTOR_LEN_MAX, ret_len, error);
}

static bool transport_take(struct machine_options *options, const char *name, struct error *error)
{
    const struct absent_transport *absent = absent_transport_find(name);
    if (absent != NULL) {
        return absent_transport_explain(absent, "", error);
    }
    options->want_transports = strcmp(name, "help") == 0;
    options->job.transport = transport_find(name);
    return options->want_transports || options->job.transport != NULL ||
           error_set(error, ERROR_USAGE, "--transport", "%s is not one of those that --transport=help lists", name);
}

/* How long a path may be is what opens it to say. One of no length would be none. */
static bool socket_take(const char *option, const char *path, const char **ret_path, struct error *error)
{
    *ret_path = path;
    return path[0] != '\0' || error_set(error, ERROR_USAGE, option, "a socket's path has 1 to %zu bytes",
                                        sizeof((struct sockaddr_un){0}.sun_path) - 1);
}

static int transports_print(void)
{
    for (size_t i = 0; i < transport_count; i++) {
        printf("%-20s %s\n", transports[i].name, transports[i].help);
    }
    for (size_t i = 0; i < absent_transport_count; i++) {
        printf("%-20s %s\n", absent_transports[i].name, absent_transports[i].help);
    }
    return report_output_end(program_name, EXIT_OK);
}

static bool option_take(struct machine_options *options, int code, const char *value, struct error *error)
{
    struct job *job = &options->job;
    switch (code) {
    case OPTION_INPUT:
        job->inputs[0].path = value;
        return true;
    case OPTION_OUTPUT:
        job->output.path = value;
        return true;
    case OPTION_INPUT_SECTOR_SIZE:
        return length_take("--input-sector-size", value, &job->inputs[0].sector_len, error);
    case OPTION_OUTPUT_SECTOR_SIZE:
        return length_take("--output-sector-size", value, &job->output.sector_len, error);
    case OPTION_REQUEST_SIZE:
        return length_take("--request-size", value, &options->copy.request_len, error);
    case OPTION_PROGRESS_PERCENT:
        return option_number_parse("--progress-percent", value, 0, JOB_PROGRESS_NONE, &options->copy.progress_percent,
                                   error);
    case OPTION_DIRECT_IO:
        return machine_options_take_backend(options, BACKEND_DIRECT, "--direct-io", error);
    case OPTION_MMAP_BACKING:
        return machine_options_take_backend(options, BACKEND_MMAP, "--mmap-backing", error);
    case OPTION_IO_URING:
        return machine_options_take_backend(options, BACKEND_IO_URING, "--io-uring", error);
    case OPTION_MEMORY_BACKING:
        return machine_options_take_backend(options, BACKEND_MEMORY, "--memory-backing", error);
    case OPTION_CONSOLE:
        job->want_console = true;
        return true;
    case OPTION_TRANSPORT:
        return transport_take(options, value, error);
    case OPTION_VHOST_USER_INPUT:
        return socket_take("--vhost-user-input", value, &job->sockets[TRANSPORT_SOCKET_INPUT], error);
    case OPTION_VHOST_USER_OUTPUT:
        return socket_take("--vhost-user-output", value, &job->sockets[TRANSPORT_SOCKET_OUTPUT], error);
    case OPTION_VIRTIOFS:
        return socket_take("--virtiofs", value, &job->sockets[TRANSPORT_SOCKET_SHARE], error);
    case OPTION_VSOCK_SOCKET:
        return socket_take("--vsock-socket", value, &job->sockets[TRANSPORT_SOCKET_LISTENER], error);
    case OPTION_LATENCY_READS:
        return option_number_parse("--latency-reads", value, 1, LATENCY_READS_MAX, &options->copy.latency_reads, error);
    case OPTION_OFFLOAD:
        job->output_len = JOB_OUTPUT_AS_GUEST_SAYS;
        job->want_copies = true;
        return true;
    default:
        return machine_options_take(options, code, value, error);
    }
}

/* An option that `transport` needs, or cannot have. */
static bool option_expect(const char *option, const char *value, bool is_needed, const char *transport,
                          struct error *error)
{
    if (is_needed) {
        return value != NULL || error_set(error, ERROR_USAGE, option, "is missing");
    }
    return value == NULL || error_set(error, ERROR_USAGE, option, "does not go with the transport \"%s\"", transport);
}

/* What daemons have they open, write and bound on their own. */
static bool daemons_take(struct machine_options *options, const char *transport, struct error *error)
{
    struct job *job = &options->job;
    const char *offload = job->want_copies ? "" : NULL;
    const char *limit = job->limits.output_len > 0 ? "" : NULL;
    options->copy.input_name = job->inputs[0].path; /* in the directory, or NULL */
    options->copy.output_name = job->output.path;
    job->input_count = 0;
    job->output_kind = JOB_OUTPUT_NONE;
    job->late_device_count = 0;
    return option_expect("--offload", offload, false, transport, error) &&
           option_expect("--max-output", limit, false, transport, error) &&
           option_expect(options->backend_option, options->backend_option, false, transport, error);
}

/* What the transport takes instead of files. */
static bool transport_options_take(struct machine_options *options, struct error *error)
{
    struct job *job = &options->job;
    const struct transport *transport = transport_of(job);
    bool has_share = transport_shares_directory(transport);
    bool listens = transport_listens(transport);
    bool has_disks = transport_daemon_count(transport) > 0 && !has_share && !listens;
    const struct {
        const char *name;
        const char *value;
        bool is_needed;
    } rules[] = {
        {"--input", job->inputs[0].path, !has_disks && !listens},
        {"--output", job->output.path, !has_disks && !listens},
        {"--vhost-user-input", job->sockets[TRANSPORT_SOCKET_INPUT], has_disks},
        {"--vhost-user-output", job->sockets[TRANSPORT_SOCKET_OUTPUT], has_disks},
        {"--virtiofs", job->sockets[TRANSPORT_SOCKET_SHARE], has_share},
        {"--vsock-socket", job->sockets[TRANSPORT_SOCKET_LISTENER], listens},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        RETURN_IF_FAILED(option_expect(rules[i].name, rules[i].value, rules[i].is_needed, transport->name, error));
    }
    return true;
}

/* Sets job.program_name to the path of the guest program. */
static bool arguments_take(struct machine_options *options, int argc, char **argv, struct error *error)
{
    int code;
    while ((code = options_next(argc, argv, ":h", vmm_options, error)) != OPTIONS_END) {
        if (code == OPTIONS_ERROR) {
            return false;
        }
        RETURN_IF_FAILED(option_take(options, code, optarg, error));
    }
    if (options->want_help || options->want_version || options->want_transports) {
        return true;
    }
    RETURN_IF_FAILED(transport_options_take(options, error));
    if (optind >= argc) {
        return error_set(error, ERROR_USAGE, NULL, "no guest program given");
    }
    if (argc - optind > 1) {
        return error_set(error, ERROR_USAGE, argv[optind + 1], "one argument too many");
    }
    struct job *job = &options->job;
    job->program_name = argv[optind];
    job->inputs[0].backend = options->backend;
    job->input_count = 1;
    job->output_kind = JOB_OUTPUT_NEW;
    /* A socket's name is taken away at the end. */
    job->confines_process = !transport_listens(transport_of(job));
    job->output.backend = options->backend;
    RETURN_IF_FAILED(machine_options_complete(options, JOB_CONVERT, error));
    job->late_device_count = policy_allows_something(&options->policy) ? LATE_DEVICE_COUNT : 0;
    const struct transport *transport = transport_of(job);
    return transport_daemon_count(transport) == 0 || daemons_take(options, transport->name, error);
}

/* For reach_do. */
struct program_reading {
    struct job *job;
    struct error *error;
};

static bool program_read(void *context)
{
    const struct program_reading *reading = context;
    return program_file_read(reading->job->program_name, &reading->job->program, reading->error);
}

static int vmm_run(struct machine_options *options)
{
    static struct console console;   /* large */
    static struct job_result result; /* large */
    struct error error = {0};
    struct job *job = &options->job;
    struct program_reading reading = {job, &error};
    if (!reach_do(program_read, &reading, &error)) {
        return report_error(program_name, &error);
    }
    console_init(&console, STDERR_FILENO);
    struct status_lines lines;
    struct job_observer observer = status_lines_observer(&lines, &console, &job->limits);
    static uint8_t message[FRAME_BODY_MAX];
    time_limit_begin(program_name, job->limits.time_s);
    bool success = copy_message_make(&options->copy, job, message, &error) && job_run(job, &observer, &result, &error);
    if (success) {
        status_lines_complete(&console, &result.complete);
    }
    if (result.signal_number != 0) {
        console_hurry(&console);
    }
    console_flush(&console);
    time_limit_enforce();
    free((void *)job->program.data);
    int exit_code = outcome_report(program_name, options, success, &result, &error);
    job_result_release(&result);
    return exit_code;
}

int main(int argc, char **argv)
{
    child_enter(argc, argv);
    report_rights_check();
    report_streams_open();
    inherited_close(program_name, argc, argv);
    struct machine_options options;
    struct error error = {0};
    machine_options_init(&options);
    if (!arguments_take(&options, argc, argv, &error)) {
        return report_error(program_name, &error);
    }
    if (options.want_help) {
        return help_print();
    }
    if (options.want_transports) {
        return transports_print();
    }
    if (options.want_version) {
        printf("%s %s\n", program_name, INSTAR_VERSION);
        return report_output_end(program_name, EXIT_OK);
    }
    int exit_code = vmm_run(&options);
    machine_options_release(&options);
    return exit_code;
}
