/* SPDX-License-Identifier: Apache-2.0 */
/* Files that were cut short: what an image tells of and its file does not have. */
#ifndef INSTAR_GUEST_IMAGE_TABLES_EXTENT_END_H
#define INSTAR_GUEST_IMAGE_TABLES_EXTENT_END_H

#include <stdint.h>

#include "guest/image/format.h"
#include "guest/image/tables/block_table.h"

/*
 * An extent of data, or a compressed one, is missing when its first unit (of `unit_len` bytes of the disk, at multiples
 * of that) begins behind the end of the file; one that goes on there ends before. Within the last unit the file may
 * end: then zeros follow, as in QEMU.
 */
void extent_look_for_end(struct extent *extent, uint64_t unit_len);

/* Of an extent that entry `index` of the table decides: it is missing when the file ends before the entry. */
void extent_look_for_entry(struct extent *extent, const struct block_table *table, uint64_t index);

#endif
