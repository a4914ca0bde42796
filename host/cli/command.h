/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `instar`, listed in main.c. */
#ifndef INSTAR_HOST_CLI_COMMAND_H
#define INSTAR_HOST_CLI_COMMAND_H

struct command {
    const char *name;
    const char *summary;
    /* argv[0] is the command's name; the result is the exit code. "--help" is each command's own. */
    int (*run)(int argc, char **argv);
};

/* What errors begin with. */
#define PROGRAM_NAME "instar"

int command_copy(int argc, char **argv);

#endif
