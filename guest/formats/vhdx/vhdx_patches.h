/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log says should stand in the file: ranges of zeros and sectors of data, sorted and without overlap. The data
 * stays where it is, in the log; only its place is kept. No I/O.
 */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_PATCHES_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_PATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/endian.h"

/* The log's unit: everything in it, and all that it replaces, has whole ones (2.3). */
#define VHDX_LOG_SECTOR_LEN 4096u
/* The first and last bytes of a data sector stand in its descriptor, as the sector in the log has fields there. */
#define VHDX_LEADING_LEN 8u
#define VHDX_TRAILING_LEN 4u

struct vhdx_patch {
    uint64_t off; /* bytes of the file; a multiple of VHDX_LOG_SECTOR_LEN, as len is */
    uint64_t len; /* of data: VHDX_LOG_SECTOR_LEN */
    bool is_data; /* else zeros */
    uint8_t leading[VHDX_LEADING_LEN];
    uint8_t trailing[VHDX_TRAILING_LEN];
    uint64_t log_off; /* bytes of the file: where the data sector is */
};

struct vhdx_patches {
    struct vhdx_patch *patches;
    uint32_t count;
    uint32_t count_max;
    uint64_t file_len; /* bytes that the file has behind the replay, at least */
};

/* How many patches there may be after `count` were put. */
static inline uint32_t vhdx_patches_room(uint32_t count)
{
    return 2 * count + 1;
}

/* Puts one, over what was there. False when there is no room, which does not happen with vhdx_patches_room. */
MUST_CHECK bool vhdx_patches_put(struct vhdx_patches *patches, const struct vhdx_patch *patch);

/* The first one that ends behind `off`; NULL: there is none. */
const struct vhdx_patch *vhdx_patches_find(const struct vhdx_patches *patches, uint64_t off);

#endif
