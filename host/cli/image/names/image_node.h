/* SPDX-License-Identifier: Apache-2.0 */
/* How QEMU writes an image that a user has named as a node, in JSON. All texts are to be freed; NULL: no memory is
 * left. */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_NODE_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_NODE_H

#include "host/cli/image/names/image_name.h"

/* The node of the image. */
char *image_node_make(const struct image_name *name);

/* What `info` calls an image that goes by a node; one whose format nobody has said is of `format`. */
char *image_node_show(const struct image_name *name, const char *format);

/* What the file of an image with layers is called: that of the last one that is an image over an image. */
char *image_node_show_file(const struct image_name *name);

#endif
