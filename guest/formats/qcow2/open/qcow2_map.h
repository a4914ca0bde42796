/* SPDX-License-Identifier: Apache-2.0 */
/* What is where (qcow2.txt, "Cluster mapping" and "Extended L2 Entries"). */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_MAP_H
#define INSTAR_GUEST_FORMATS_QCOW2_OPEN_QCOW2_MAP_H

#include "guest/formats/qcow2/open/qcow2_image.h"

/* format.map */
bool qcow2_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error);

/* qcow2_preallocation.c: whether the file has less storage than clusters in use, as preallocation of metadata does. */
bool qcow2_has_preallocated_metadata(struct image *image);

/* format.table_at: L2 tables, of images that have their data in their own file. */
bool qcow2_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error);

#endif
