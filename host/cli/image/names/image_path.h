/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_PATH_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Of a directory that the user named, and a name from an image. */
#define IMAGE_PATH_LEN_MAX (2 * PATH_MAX)

struct image_path {
    size_t len;
    uint8_t bytes[IMAGE_PATH_LEN_MAX];
};

/*
 * Where the file is that the image at `base` calls `name`, as qemu-img shows it: beside the image, unless the name is
 * an absolute path or begins with a protocol. False when it is too long.
 */
bool image_path_beside(const char *base, struct span name, struct image_path *ret_path);

/* Whether a name begins with a protocol, as "nbd:" is one: a colon comes before any slash. */
bool image_path_has_protocol(struct span name);

#endif
