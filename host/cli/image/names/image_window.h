/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk within another file: "offset" and "size" of QEMU's raw driver, of the image itself or of a node between the
 * image's format and the file.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_WINDOW_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "host/cli/image/values/key_values.h"

struct image_window {
    bool is_set;
    bool is_within; /* of a node below the image's format, not of the image itself */
    bool has_len;
    uint64_t off; /* bytes; whether the file has them, the guest looks */
    uint64_t len;
    char *node; /* the raw node in QEMU's JSON; NULL unless is_set */
};

/* Whether the options have a raw node as the image's "file". */
bool image_window_is_node(const struct key_values *options);

/* Whether that node has an offset or a size, or both: it is a window. */
bool image_window_is_within(const struct key_values *options);

/*
 * From the options of an image with the driver `driver` (NULL: probed) on the file `path`. `file_driver`: "file",
 * "host_device", or NULL. The window is to be released.
 */
bool image_window_take(struct image_window *ret_window, const struct key_values *options, const char *driver,
                       const char *file_driver, const char *path, struct error *error);

/* The window that the two options say, NULL: not given, over a node in JSON, which is freed; NULL: no memory is left.
 */
bool image_window_make(struct image_window *ret_window, const struct key_value *off, const struct key_value *len,
                       char *file_node, struct error *error);

/* What QEMU calls the file that such an image is in, where that is not the file itself. To be freed; NULL: no memory is
 * left. */
char *image_window_show_file(const struct image_window *window);

void image_window_release(struct image_window *window);

#endif
