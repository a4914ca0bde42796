/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes as QEMU writes them in JSON, with members in the order of its dictionary. All texts are to be freed; NULL: no
 * memory is left.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_NODE_TEXT_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_NODE_TEXT_H

#include "host/cli/image/values/key_values.h"

/* A file as it is; `driver` is "file" where it is NULL. */
char *node_text_file(const char *driver, const char *path);

/* A raw node over another one: "offset" and "size" as the user wrote them, NULL: not given. */
char *node_text_raw(const struct key_value *off, const struct key_value *len, const char *file_node);

/* The same without both, over a node that is freed; NULL: no memory was left for that. */
char *node_text_over(char *file_node);

/* An image in a node. */
struct node_image {
    const char *driver;     /* empty: probed */
    const char *key_secret; /* of luks, key-secret, and of others encrypt.key-secret; NULL: not given */
    const char *file_node;
    const char *backing_node; /* the node behind it, or "null"; NULL: nothing is said of it */
};

char *node_text_image(const struct node_image *node);

#endif
