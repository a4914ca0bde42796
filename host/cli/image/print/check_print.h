/* SPDX-License-Identifier: Apache-2.0 */
/* The result of `check`. */
#ifndef INSTAR_HOST_CLI_IMAGE_PRINT_CHECK_PRINT_H
#define INSTAR_HOST_CLI_IMAGE_PRINT_CHECK_PRINT_H

#include <stdio.h>

#include "base/error.h"
#include "host/cli/image/values/value_tree.h"
#include "messages.pb.h"

/* qemu-img's exit codes. */
#define CHECK_EXIT_FAILED 1
#define CHECK_EXIT_CORRUPT 2
#define CHECK_EXIT_LEAKS 3
#define CHECK_EXIT_UNSUPPORTED 63

/* Whether the numbers are such that qemu-img has them; the message is a guest's. */
bool check_message_check(const instar_CheckMessage *message, struct error *error);

void check_print_human(FILE *stream, const instar_CheckMessage *message);

/* As JSON, into an object; see value_tree_check. */
void check_add(struct value_tree *tree, struct value *object, const instar_CheckMessage *message, const char *path,
               const char *format);

int check_exit_code(const instar_CheckMessage *message);

#endif
