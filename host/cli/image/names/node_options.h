/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of QEMU's block drivers, as json:{...} and --image-opts have them besides the name of the file: those
 * that mean something here, and those that make no difference to who only reads. Other ones are refused.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_NODE_OPTIONS_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_NODE_OPTIONS_H

#include "host/cli/image/names/image_name.h"
#include "host/cli/image/values/key_values.h"

/* QEMU's drivers for a file as it is. To the guest their content is raw. */
bool node_driver_is_file(const char *name);

/*
 * Takes an option of an image whose driver is `driver`, or not known (NULL). Keys of its file begin with "file.", those
 * of its data file with "data-file."; with `is_within`, "file." is a raw node and the file's keys begin with
 * "file.file.".
 */
bool node_option_take(struct image_name *name, const struct key_value *option, const char *driver, bool is_within,
                      struct error *error);

#endif
