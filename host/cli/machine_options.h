/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that every command with a machine has: how it is built, how long it may run, what it reports.
 */
#ifndef INSTAR_HOST_CLI_MACHINE_OPTIONS_H
#define INSTAR_HOST_CLI_MACHINE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include "host/cli/statistics_print.h"
#include "host/job/job.h"

struct machine_options {
    struct job job;             /* what the options say goes straight in here */
    const char *backend_option; /* the option that chose the backend, NULL: none so far */
    enum statistics_format statistics_format;
    bool want_help;
    bool want_version;
};

/* Codes from 256 on: these options have no letter. A command's own codes start at OPTION_COMMAND_FIRST. */
enum {
    OPTION_HELP = 256,
    OPTION_VERSION,
    OPTION_VCPUS,
    OPTION_QUEUE_DEPTH,
    OPTION_NO_IOEVENTFD,
    OPTION_TIMEOUT,
    OPTION_SYNC,
    OPTION_STATS,
    OPTION_DEBUG,
    OPTION_COMMAND_FIRST,
};

/* For a command's array of options. */
#define MACHINE_OPTIONS                                                                                 \
    {"help", no_argument, NULL, OPTION_HELP}, {"version", no_argument, NULL, OPTION_VERSION},           \
        {"vcpus", required_argument, NULL, OPTION_VCPUS},                                               \
        {"queue-depth", required_argument, NULL, OPTION_QUEUE_DEPTH},                                   \
        {"no-ioeventfd", no_argument, NULL, OPTION_NO_IOEVENTFD},                                       \
        {"timeout", required_argument, NULL, OPTION_TIMEOUT}, {"sync", no_argument, NULL, OPTION_SYNC}, \
        {"stats", optional_argument, NULL, OPTION_STATS},                                               \
    {                                                                                                   \
        "debug", no_argument, NULL, OPTION_DEBUG                                                        \
    }

/* Their part of a command's help. */
#define MACHINE_OPTIONS_HELP                                                                  \
    "  --vcpus N                virtual processors, 1 to 16 (default 1)\n"                    \
    "  --queue-depth N          transfers in flight, 1 to 256 (default: the guest chooses)\n" \
    "  --no-ioeventfd           handle queue notifications as exits of the virtual machine\n" \
    "  --timeout S              end the job after S seconds\n"                                \
    "  --sync                   finish only when the output is on stable storage\n"           \
    "  --stats[=FORMAT]         print statistics: human (default), json or prometheus\n"      \
    "  --debug                  show the guest's debug output\n"                              \
    "  --help                   show this text\n"                                             \
    "  --version                show the version\n"

void machine_options_init(struct machine_options *options);
/* Takes an option whose code is one of the above. */
bool machine_options_take(struct machine_options *options, int code, const char *value, struct error *error);
/* Chooses the backend, once. `name` is the option as the user typed it. */
bool machine_options_take_backend(struct machine_options *options, enum backend_kind kind, const char *name,
                                  struct error *error);

#endif
