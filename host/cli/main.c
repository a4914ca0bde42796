/* SPDX-License-Identifier: Apache-2.0 */
/* The `instar` program, also known as `qemu-img`: finds the command and runs it. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "host/cli/command.h"
#include "host/cli/guest_digests.h"
#include "host/cli/image/names/image_driver.h"
#include "host/cli/inherited.h"
#include "host/cli/options.h"
#include "host/cli/personality.h"
#include "host/cli/report.h"
#include "host/job/child/child.h"

/* Clients parse the version and expect what this one can do. */
#define QEMU_IMG_VERSION "7.2.22"

static const struct command commands[] = {
    {"amend", "change what a disk image is said to be", false, command_amend},
    {"batch", "do a list of jobs, or a share of it", true, command_batch},
    {"bench", "tell how fast a disk image is read or written", false, command_bench},
    {"bitmap", "change a persistent bitmap of a disk image", false, command_bitmap},
    {"check", "look for damage in a disk image", false, command_check},
    {"commit", "write the content of a disk image into the one behind it", false, command_commit},
    {"compare", "compare the content of two disk images", false, command_compare},
    {"convert", "write the content of disk images to a file", false, command_convert},
    {"copy", "copy a disk image through the virtual machine", true, command_copy},
    {"create", "make a new disk image", false, command_create},
    {"dd", "write a part of a disk image to a file", false, command_dd},
    {"info", "tell what a disk image is", false, command_info},
    {"map", "tell where the data of a disk image is", false, command_map},
    {"measure", "tell how long a disk image would be in another format", false, command_measure},
    {"rebase", "give a disk image another backing file", false, command_rebase},
    {"resize", "give the disk of an image another size", false, command_resize},
    {"snapshot", "list or change the internal snapshots of a disk image", false, command_snapshot},
};

static const struct option program_options[] = {
    {"verbose", no_argument, NULL, 'v'}, /* the first one, as qemu-img has all others */
    {"help", no_argument, NULL, 'h'},        {"version", no_argument, NULL, 'V'},
    {"trace", required_argument, NULL, 'T'}, {NULL, 0, NULL, 0},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) == 0 && !(commands[i].is_own && is_qemu_img())) {
            return &commands[i];
        }
    }
    return NULL;
}

static int usage_error(const char *place, const char *detail)
{
    struct error error = {0};
    error_fill(&error, ERROR_USAGE, place, "%s", detail);
    return report_error(program_name(), &error);
}

/* qemu-img's, with its hint. */
static int qemu_img_error(const char *format, const char *name)
{
    struct error error = {0};
    error_fill(&error, ERROR_USAGE, NULL, "%s%s", format, name);
    int exit_code = report_error(program_name(), &error);
    fprintf(stderr, "Try '%s --help' for more information\n", program_name());
    return exit_code;
}

static void formats_print(void)
{
    printf("Supported formats:");
    for (const struct image_driver *driver = NULL; image_driver_next(&driver);) {
        printf(" %s", driver->name);
    }
    printf("\n");
}

static int help_print(void)
{
    printf("Usage: %s COMMAND [OPTION]...\n"
           "Work on disk images that nobody trusts: every byte of them is parsed inside a\n"
           "virtual machine.\n"
           "\n"
           "Commands:\n",
           program_name());
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (command_find(commands[i].name) != NULL) {
            printf("  %-10s %s\n", commands[i].name, commands[i].summary);
        }
    }
    if (!is_qemu_img()) {
        printf("  %-10s %s\n", "help", "show this text, or that of a command");
    }
    printf("\n"
           "Options:\n"
           "  -h, --help     show this text\n"
           "  -V, --version  show the version\n"
           "  --verbose      with --version: and SHA-256 digests of the guest programs\n"
           "\n"
           "'%s COMMAND --help' explains a command.\n"
           "\n",
           program_name());
    formats_print();
    return report_output_end(program_name(), EXIT_OK);
}

/* Of the programs that are part of this one. They have the same bytes wherever they are built. */
static void digests_print(void)
{
    static const struct {
        const char *name;
        const char *digest;
    } guests[] = {GUEST_DIGESTS};
    for (size_t i = 0; i < ARRAY_COUNT(guests); i++) {
        printf("guest program %s: sha256 %s\n", guests[i].name, guests[i].digest);
    }
}

static int version_print(bool is_verbose)
{
    if (is_qemu_img()) {
        printf("qemu-img version " QEMU_IMG_VERSION " (instar %s)\n", INSTAR_VERSION);
    } else {
        printf("instar %s\n", INSTAR_VERSION);
    }
    if (is_verbose) {
        digests_print();
    }
    return report_output_end(program_name(), EXIT_OK);
}

static int command_run(int argc, char **argv)
{
    const struct command *command = command_find(argv[0]);
    if (command == NULL && is_qemu_img()) {
        return qemu_img_error("Command not found: ", argv[0]);
    }
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

static int option_error(const struct error *error)
{
    if (!is_qemu_img()) {
        return report_error(PROGRAM_NAME, error);
    }
    bool is_missing = strcmp(error->detail, OPTIONS_VALUE_MISSING) == 0;
    char name[ERROR_DETAIL_LEN];
    snprintf(name, sizeof(name), "'%.200s'", error->place);
    return qemu_img_error(is_missing ? "missing argument for option " : "unrecognized option ", name);
}

int main(int argc, char **argv)
{
    child_enter(argc, argv);
    report_rights_check();
    report_streams_open();
    personality_choose(argv[0]);
    inherited_close(program_name(), argc, argv);
    if (is_qemu_img()) {
        signal(SIGPIPE, SIG_IGN); /* as qemu-img: who has read enough of the output does not make it fail */
    }
    struct error error = {0};
    bool is_verbose = false;
    const struct option *options = is_qemu_img() ? &program_options[1] : program_options;
    int code;
    /* '+': what follows the command is the command's. */
    while ((code = options_next(argc, argv, "+:hVT:", options, &error)) != OPTIONS_END) {
        switch (code) {
        case 'h':
            return help_print();
        case 'V': /* what follows does not count, as with qemu-img, but for one word */
            is_verbose = is_verbose || (optind < argc && strcmp(argv[optind], "--verbose") == 0);
            return version_print(is_verbose && !is_qemu_img());
        case 'v':
            is_verbose = true;
            break;
        case 'T':
            return usage_error("--trace", "tracing is not supported");
        default:
            return option_error(&error);
        }
    }
    if (is_verbose) {
        return usage_error("--verbose", "goes with --version only");
    }
    if (optind >= argc) {
        return is_qemu_img() ? qemu_img_error("Not enough arguments", "")
                             : usage_error(NULL, "no command given; 'instar --help' lists them");
    }
    argc -= optind;
    argv += optind;
    if (strcmp(argv[0], "help") == 0 && !is_qemu_img()) {
        return help_command(argc, argv);
    }
    return command_run(argc, argv);
}
