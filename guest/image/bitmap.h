/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent bitmaps: which parts of the disk have changed since somebody began to look. A bit stands for a granule of
 * the disk; the first one is the lowest of the first byte.
 */
#ifndef INSTAR_GUEST_IMAGE_BITMAP_H
#define INSTAR_GUEST_IMAGE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_BITMAP_NAME_LEN_MAX 1023u

struct image_bitmap {
    uint32_t granularity_bits; /* bytes of a granule: 2 to this power */
    bool is_enabled;           /* follows changes */
    bool is_inconsistent;      /* its bits are not to be relied on */
    uint16_t name_len;
    uint8_t name[IMAGE_BITMAP_NAME_LEN_MAX];
    /* The format's own. */
    uint64_t table_off;
    uint32_t table_entry_count;
};

/* A way through an image's bitmaps; zeros to begin with. */
struct image_bitmap_walk {
    uint32_t index; /* of the next one */
    uint64_t pos;
};

#endif
