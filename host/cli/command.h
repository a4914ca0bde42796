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

/* What errors of instar's own commands begin with. */
#define PROGRAM_NAME "instar"

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
