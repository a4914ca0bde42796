/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that every command with a machine has: how it is built, what it may use and open, what it reports.
 */
#ifndef INSTAR_HOST_CLI_MACHINE_OPTIONS_H
#define INSTAR_HOST_CLI_MACHINE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include "host/cli/backing_names.h"
#include "host/cli/configuration.h"
#include "host/cli/limit_values.h"
#include "host/cli/run_as.h"
#include "host/cli/statistics_print.h"
#include "host/job/job.h"
#include "host/job/parent/copy_message.h"

struct machine_options {
    struct job job;                 /* what the options say goes straight in here, except: */
    struct copy_settings copy;      /* for commands that copy: becomes job.message */
    enum backend_kind backend;      /* of the images that the user names */
    struct limit_values limits;     /* they come together with those of the configuration file */
    struct backing_names names;     /* as do these directories and files: */
    struct policy policy;           /* open, once the options are complete, and then job.policy */
    unsigned int own_file_count;    /* of the policy's files, those of the command line, which come first */
    const char *configuration_path; /* NULL: the default one */
    bool has_sandbox;               /* job.sandbox was chosen by an option */
    bool has_user;                  /* job.user likewise */
    bool no_backing;
    bool has_backing; /* --backing: */
    bool allows_beside;
    bool commits; /* the configuration lets `commit` write to what is right behind an image; once they are complete */
    const char *backend_option; /* the option that chose the backend, NULL: none so far */
    enum statistics_format statistics_format;
    bool want_help;
    bool want_transports; /* instar-vmm --transport=help */
    bool want_version;
};

/* Codes from 256 on: these options have no letter. A command's own codes start at OPTION_COMMAND_FIRST. */
enum {
    OPTION_HELP = 256,
    OPTION_VERSION,
    OPTION_VCPUS,
    OPTION_QUEUE_DEPTH,
    OPTION_NO_IOEVENTFD,
    OPTION_MAX_TIME, /* the limits, in the order of enum limit */
    OPTION_MAX_CPU,
    OPTION_MAX_OUTPUT,
    OPTION_MAX_MEMORY,
    OPTION_MAX_EXITS,
    OPTION_MIN_FREE,
    OPTION_MAX_LINES,
    OPTION_TIMEOUT,
    OPTION_BACKING,
    OPTION_BACKING_DIR,
    OPTION_BACKING_FILE,
    OPTION_NO_BACKING,
    OPTION_SANDBOX,
    OPTION_RUN_AS,
    OPTION_CONFIG,
    OPTION_SYNC,
    OPTION_STATS,
    OPTION_DEBUG,
    OPTION_COMMAND_FIRST,
};

/* For a command's array of options. */
/* clang-format off */
#define MACHINE_OPTIONS                                            \
    {"help", no_argument, NULL, OPTION_HELP},                      \
    {"version", no_argument, NULL, OPTION_VERSION},                \
    {"vcpus", required_argument, NULL, OPTION_VCPUS},              \
    {"queue-depth", required_argument, NULL, OPTION_QUEUE_DEPTH},  \
    {"no-ioeventfd", no_argument, NULL, OPTION_NO_IOEVENTFD},      \
    {"max-time", required_argument, NULL, OPTION_MAX_TIME},        \
    {"max-cpu", required_argument, NULL, OPTION_MAX_CPU},          \
    {"max-output", required_argument, NULL, OPTION_MAX_OUTPUT},    \
    {"max-memory", required_argument, NULL, OPTION_MAX_MEMORY},    \
    {"max-exits", required_argument, NULL, OPTION_MAX_EXITS},      \
    {"min-free", required_argument, NULL, OPTION_MIN_FREE},        \
    {"max-lines", required_argument, NULL, OPTION_MAX_LINES},      \
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},          \
    {"backing-dir", required_argument, NULL, OPTION_BACKING_DIR},  \
    {"backing-file", required_argument, NULL, OPTION_BACKING_FILE},\
    {"no-backing", no_argument, NULL, OPTION_NO_BACKING},          \
    {"sandbox", required_argument, NULL, OPTION_SANDBOX},          \
    {"run-as", required_argument, NULL, OPTION_RUN_AS},            \
    {"config", required_argument, NULL, OPTION_CONFIG},            \
    {"sync", no_argument, NULL, OPTION_SYNC},                      \
    {"stats", optional_argument, NULL, OPTION_STATS},              \
    {"debug", no_argument, NULL, OPTION_DEBUG}
/* clang-format on */

/* For commands and programs that work on images. (To `copy`, --backing is something else.) */
#define BACKING_OPTION                                     \
    {                                                      \
        "backing", required_argument, NULL, OPTION_BACKING \
    }
#define BACKING_OPTION_HELP                                                            \
    "  --backing=no|beside      whether images may lead to files that are beside or\n" \
    "                           below them (default no)\n"

/* Their part of a command's help. */
#define MACHINE_OPTIONS_HELP                                                              \
    "  --vcpus N                virtual processors, 1 to 16 (default: convert\n"          \
    "                           as many as it may use of the host's, 8 at most,\n"        \
    "                           compare 2, all others 1)\n"                               \
    "  --queue-depth N          transfers in flight, 1 to 256 (default: the guest\n"      \
    "                           chooses)\n"                                               \
    "  --no-ioeventfd           handle queue notifications as exits of the virtual\n"     \
    "                           machine\n"                                                \
    "  --max-time S             end the job after S seconds (also --timeout)\n"           \
    "  --max-cpu S              end it when it has computed for S seconds (default:\n"    \
    "                           30 for what inspects, none for others)\n"                 \
    "  --max-output BYTES       end it when it writes more to its outputs; K, M, G\n"     \
    "                           are understood\n"                                         \
    "  --max-memory BYTES       give the guest no more memory for data than this\n"       \
    "  --max-exits N            end it after N exits of its virtual processors\n"         \
    "  --min-free BYTES         end it before less is free where an output grows\n"       \
    "                           (default: 5 %, 1G at most)\n"                             \
    "  --max-lines N            print N lines of each sort at most: runs of map,\n"       \
    "                           findings of check, warnings, messages of\n"               \
    "                           instar-vmm (default: 10000000, 100000, 1000,\n"           \
    "                           1000000)\n"                                               \
    "                           (limits: 0 is none, which also overrides the\n"           \
    "                           configuration file)\n"                                    \
    "  --backing-dir DIR        images may lead to files in and below DIR;\n"             \
    "                           repeatable\n"                                             \
    "  --backing-file FILE      images may lead to FILE; repeatable\n"                    \
    "  --no-backing             images may lead to no other file, whatever the\n"         \
    "                           configuration says\n"                                     \
    "  --sandbox=ENGINE         run the guest by: kvm, process, or auto (default):\n"     \
    "                           kvm when it can be used; INSTAR_SANDBOX in the\n"         \
    "                           environment is another default\n"                         \
    "  --run-as USER            when root starts the job: the user of the machine's\n"    \
    "                           process (default: " RUN_AS_DEFAULT ", if there is one)\n" \
    "  --config FILE            read FILE instead of " CONFIGURATION_PATH "\n"            \
    "  --sync                   finish only when the output is on stable storage\n"       \
    "  --stats[=FORMAT]         print statistics: human (default), json or\n"             \
    "                           prometheus\n"                                             \
    "  --debug                  show the guest's debug output\n"                          \
    "  --help                   show this text\n"                                         \
    "  --version                show the version\n"

void machine_options_init(struct machine_options *options);
void machine_options_release(struct machine_options *options);
/* Takes an option whose code is one of the above. */
bool machine_options_take(struct machine_options *options, int code, const char *value, struct error *error);
/* Chooses the backend, once. `name` is the option as the user typed it. */
bool machine_options_take_backend(struct machine_options *options, enum backend_kind kind, const char *name,
                                  struct error *error);
/*
 * After the last option: adds what the environment and the configuration file say, where no option says otherwise.
 * The job's policy points into *options from now on.
 */
bool machine_options_complete(struct machine_options *options, enum job_kind kind, struct error *error);

#endif
