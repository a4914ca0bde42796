/* SPDX-License-Identifier: Apache-2.0 */
/* "node-name": nothing is looked up by such a name here, but as in QEMU no two nodes of a command have the same. */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_NODE_NAMES_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_NODE_NAMES_H

#include <stdbool.h>

#include "base/error.h"
#include "host/cli/image/values/key_values.h"

/*
 * The names that the options of an image give its nodes, whose keys have dots: *ret_names is a text of lines, to be
 * freed, NULL if there is none. The options are ones that were taken: names have no newline. An error without a place
 * when two nodes have the same.
 */
bool node_names_take(char **ret_names, const struct key_values *options, struct error *error);

/* The same error when a name is in both lists; each may be NULL. */
bool node_names_are_apart(const char *names, const char *others, struct error *error);

#endif
