/* SPDX-License-Identifier: Apache-2.0 */
/* The `instar` program: finds the command and runs it. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/command.h"
#include "host/cli/options.h"
#include "host/cli/report.h"

static const struct command commands[] = {
    {"copy", "copy a disk image through the virtual machine", command_copy},
};

enum {
    OPTION_HELP = 256,
    OPTION_VERSION,
};

static const struct option program_options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int usage_error(const char *place, const char *detail)
{
    struct error error = {0};
    error_fill(&error, ERROR_USAGE, place, "%s", detail);
    return report_error(PROGRAM_NAME, &error);
}

static int help_print(void)
{
    printf("Usage: instar COMMAND [OPTION]...\n"
           "Work on disk images that nobody trusts: every byte of them is parsed inside a virtual machine.\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    printf("  %-10s %s\n", "help", "show this text, or that of a command");
    printf("\n"
           "Options:\n"
           "  --help     show this text\n"
           "  --version  show the version\n"
           "\n"
           "'instar COMMAND --help' explains a command.\n");
    return report_output_end(PROGRAM_NAME, EXIT_OK);
}

static int version_print(void)
{
    printf("instar %s\n", INSTAR_VERSION);
    return report_output_end(PROGRAM_NAME, EXIT_OK);
}

static int command_run(int argc, char **argv)
{
    const struct command *command = command_find(argv[0]);
    if (command == NULL) {
        return usage_error(argv[0], "unknown command; 'instar --help' lists them");
    }
    optind = 0; /* getopt starts anew */
    return command->run(argc, argv);
}

/* `instar help COMMAND` is `instar COMMAND --help`. */
static int help_command(int argc, char **argv)
{
    if (argc < 2) {
        return help_print();
    }
    static char help[] = "--help";
    char *arguments[] = {argv[1], help, NULL};
    return command_run(2, arguments);
}

int main(int argc, char **argv)
{
    report_streams_open();
    struct error error = {0};
    /* '+': what follows the command is the command's. */
    switch (options_next(argc, argv, "+:", program_options, &error)) {
    case OPTION_HELP:
        return help_print();
    case OPTION_VERSION:
        return version_print();
    case OPTIONS_ERROR:
        return report_error(PROGRAM_NAME, &error);
    default:
        break;
    }
    if (optind >= argc) {
        return usage_error(NULL, "no command given; 'instar --help' lists them");
    }
    argc -= optind;
    argv += optind;
    if (strcmp(argv[0], "help") == 0) {
        return help_command(argc, argv);
    }
    return command_run(argc, argv);
}
