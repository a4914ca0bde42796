/* SPDX-License-Identifier: Apache-2.0 */
/* What `info` says of an image. */
#ifndef INSTAR_HOST_CLI_IMAGE_PRINT_INFO_PRINT_H
#define INSTAR_HOST_CLI_IMAGE_PRINT_INFO_PRINT_H

#include <stdio.h>

#include "host/cli/image/values/value_tree.h"
#include "messages.pb.h"

struct info_image {
    instar_InfoMessage message;
    const char *path;       /* as the user knows the image */
    const char *file_path;  /* of its file: names in it are relative to that */
    const char *format;     /* as the user calls it; usually the message's */
    uint64_t allocated_len; /* bytes of storage; UINT64_MAX: not known */
    /* Objects "format-specific", with "type" and "data", and "snapshots", a list; or nothing. */
    struct value *details;
};

/* Whether numbers are such that JSON and qemu-img have them; the message is a guest's. */
bool info_message_check(const instar_InfoMessage *message, struct error *error);

void info_print_human(FILE *stream, const struct info_image *image);

/* Adds the image to a list, or to an object as `key`; see value_tree_check. */
void info_add(struct value_tree *tree, struct value *parent, const char *key, const struct info_image *image);

#endif
