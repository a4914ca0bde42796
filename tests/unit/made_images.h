/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images made up at random, of a format of their own: extents of all kinds and lengths, an image and one behind it,
 * compressed clusters that show through in pieces. With them goes what their disks read as, worked out byte by byte.
 */
#ifndef INSTAR_TESTS_UNIT_MADE_IMAGES_H
#define INSTAR_TESTS_UNIT_MADE_IMAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/image/image.h"

#define DISK_LEN_MAX (6u << 20)
#define FILE_LEN (3u << 20)
#define EXTENTS_MAX 8192u

struct layout {
    uint32_t count;
    struct extent extents[EXTENTS_MAX];
    uint8_t disk[DISK_LEN_MAX]; /* what this image makes of what is behind it */
};

struct shape {
    uint64_t len[2]; /* of the disks; 0: there is no backing image */
    uint32_t cluster_len[2];
    bool is_odd;
    uint32_t compressed_share; /* percent */
};

extern const struct format fake_format;  /* with clusters */
extern const struct format plain_format; /* without */

extern uint8_t file_bytes[FILE_LEN]; /* of the file that both images are in */
extern struct layout layouts[2];
extern struct image images[2];
extern uint64_t bad_seed_voff; /* a cluster that cannot be decompressed; UINT64_MAX: none */
extern uint64_t bad_map_voff;  /* a place that cannot be told; likewise */

/* Always the same ones for a shape and a seed. Nothing is bad. */
void make_images(const struct shape *shape, uint64_t seed);

#endif
