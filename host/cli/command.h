/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `instar`, listed in main.c. */
#ifndef INSTAR_HOST_CLI_COMMAND_H
#define INSTAR_HOST_CLI_COMMAND_H

#include <stdbool.h>

struct command {
    const char *name;
    const char *summary;
    bool is_own; /* of instar's, which qemu-img does not have */
    /* argv[0] is the command's name; the result is the exit code. "--help" is each command's own. */
    int (*run)(int argc, char **argv);
};

/* What errors of instar's own commands begin with. */
#define PROGRAM_NAME "instar"

/* The command of that name, as far as the program has it under the name that it was started by; NULL: none. */
const struct command *command_find(const char *name);

int command_batch(int argc, char **argv);
int command_copy(int argc, char **argv);
/* qemu-img's (image/). */
int command_amend(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_bitmap(int argc, char **argv);
int command_check(int argc, char **argv);
int command_commit(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_convert(int argc, char **argv);
int command_create(int argc, char **argv);
int command_dd(int argc, char **argv);
int command_info(int argc, char **argv);
int command_map(int argc, char **argv);
int command_measure(int argc, char **argv);
int command_rebase(int argc, char **argv);
int command_resize(int argc, char **argv);
int command_snapshot(int argc, char **argv);

#endif
