/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_CLI_IMAGE_PRINT_SNAPSHOT_TABLE_H
#define INSTAR_HOST_CLI_IMAGE_PRINT_SNAPSHOT_TABLE_H

#include <stdio.h>

#include "host/cli/image/values/value_tree.h"

/* Internal snapshots, as qemu-img lists them: a title, a head, and a line for each. `snapshots` is a list of objects.
 */
void snapshot_table_print(FILE *stream, const struct value *snapshots);

#endif
