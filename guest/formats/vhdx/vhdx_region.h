/* SPDX-License-Identifier: Apache-2.0 */
/* The region table (2.2.3), of which there are two copies: where the block allocation table and the metadata are. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_REGION_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_REGION_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vhdx/vhdx_layout.h"

#define VHDX_REGION_TABLE_1_OFF (192u << 10)
#define VHDX_REGION_TABLE_2_OFF (256u << 10)
#define VHDX_REGION_TABLE_COUNT 2u

/* Of the copy with this number, from 0. */
static inline uint64_t vhdx_region_table_off(uint32_t number)
{
    return number == 0 ? VHDX_REGION_TABLE_1_OFF : VHDX_REGION_TABLE_2_OFF;
}
#define VHDX_REGION_TABLE_LEN (64u << 10)

struct vhdx_region {
    uint64_t off; /* bytes; off + len does not wrap */
    uint64_t len; /* bytes */
};

/* Regions of other programs that are kept in mind. An image that has more of them is read, and not changed. */
#define VHDX_REGION_OTHERS_MAX 16u

struct vhdx_regions {
    struct vhdx_region table; /* block allocation table */
    struct vhdx_region metadata;
    struct vhdx_region others[VHDX_REGION_OTHERS_MAX]; /* optional ones, which are not known */
    uint32_t other_count;                              /* of those in the file, which may be more */
    uint64_t others_end_off;                           /* behind all of them; 0: there are none */
};

/* Whether `bytes`, VHDX_REGION_TABLE_LEN of them, have the checksum that they say: of the two copies the first one that
 * has counts. */
bool vhdx_region_table_is_sound(struct span bytes);

/* A sound one. Regions do not overlap each other, nor `log`. */
MUST_CHECK bool vhdx_region_table_parse(struct span bytes, struct vhdx_region log, struct vhdx_regions *ret_regions,
                                        struct error *error);

/* A new one: `ret_bytes` has VHDX_REGION_TABLE_LEN zeros. */
void vhdx_region_table_emit(const struct vhdx_regions *regions, uint8_t *ret_bytes);

/* Whether a place in the file has anything of one of these regions. */
bool vhdx_regions_overlap(const struct vhdx_regions *regions, struct vhdx_region place);

/* Neither begins within the other. */
bool vhdx_region_overlaps(struct vhdx_region a, struct vhdx_region b);

#endif
