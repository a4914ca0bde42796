/* SPDX-License-Identifier: Apache-2.0 */
/* What is where: through grain directories and tables to grains. */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_MAP_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_MAP_H

#include "guest/formats/vmdk/vmdk.h"

/* format.map */
bool vmdk_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error);

/* A run of grains of a sparse extent that are of one sort. */
enum vmdk_grain_kind {
    VMDK_GRAIN_UNALLOCATED,
    VMDK_GRAIN_ZERO,
    VMDK_GRAIN_STORED,
};
struct vmdk_grain_run {
    enum vmdk_grain_kind kind;
    uint64_t grain_count; /* not 0 */
    uint64_t file_off;    /* STORED: bytes, of the first one; the others follow it */
};

/* The run at grain number `grain` of the extent, count_max grains at most. The grains themselves may be anywhere. */
MUST_CHECK bool vmdk_map_grains(struct image *image, struct vmdk_extent *extent, uint64_t grain, uint64_t count_max,
                                struct vmdk_grain_run *ret_run, struct error *error);

/*
 * Where the table is that tells of the grain, 0 when there is none; *ret_count: the directory has it for so many
 * stretches from this one on, count_max at most.
 */
MUST_CHECK bool vmdk_table_of_grain(struct image *image, struct vmdk_extent *extent, uint64_t grain, uint64_t count_max,
                                    uint64_t *ret_off, uint64_t *ret_count, struct error *error);

/* format.table_at: grain tables, of images of one sparse extent. */
bool vmdk_table_at(struct image *image, uint64_t voff, struct table_stretch *ret_stretch, struct error *error);

#endif
