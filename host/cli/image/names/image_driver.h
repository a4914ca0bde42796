/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's block drivers by name, as users write them: which of them are a file as it is, which options their nodes have
 * (node_options.c), and what is written. The guest finds formats itself; this is what the host must know of a name.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_DRIVER_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_IMAGE_DRIVER_H

#include <stdbool.h>

/* Which nodes have an option: a bit for each sort. */
enum driver_node {
    DRIVER_NODE_FILE = 1 << 0,
    DRIVER_NODE_RAW = 1 << 1,
    DRIVER_NODE_QCOW2 = 1 << 2,
    DRIVER_NODE_BACKED = 1 << 3, /* of any format that has backing files */
    DRIVER_NODE_PARALLELS = 1 << 4,
    DRIVER_NODE_VPC = 1 << 5,
    DRIVER_NODE_KEYED = 1 << 6, /* of any format whose data may be encrypted, among other things */
    DRIVER_NODE_OTHER = 1 << 7, /* without options of its own */
    DRIVER_NODE_LUKS = 1 << 8,
    DRIVER_NODE_FORMAT = (1 << 9) - 1 - DRIVER_NODE_FILE,
    DRIVER_NODE_ALL = (1 << 9) - 1,
};

struct image_driver {
    const char *name;
    unsigned int nodes;    /* enum driver_node */
    bool is_never_written; /* QEMU's driver makes no images either */
};

/* NULL: there is none of that name. */
const struct image_driver *image_driver_find(const char *name);

/* Whether QEMU has a driver of that name which is none of these: a protocol, a filter. */
bool image_driver_is_of_qemu(const char *name);

/* Goes on to the next one, in the order of names; from NULL to the first. False behind the last one. */
bool image_driver_next(const struct image_driver **driver);

#endif
