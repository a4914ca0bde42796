/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in parts, each of which another job writes, on another host perhaps (convert --shard I/N): in place to a raw
 * file, or to an image of the whole length that has this part only and says so, for a job that joins them
 * (convert --join).
 */
#ifndef INSTAR_GUEST_IMAGE_SHARD_H
#define INSTAR_GUEST_IMAGE_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checked.h"
#include "messages.pb.h"

/*
 * Parts begin at multiples of this: no cluster of any format, and so no page and no sector, is in two of them, whoever
 * writes them at the same time.
 */
#define SHARD_UNIT_LEN (2u << 20)
#define SHARD_SOURCE_LEN 32u
/* What an image was made with: as many as any format has. */
#define SHARD_OPTIONS_MAX 8u

struct shard {
    uint32_t number;                  /* from 1 */
    uint32_t count;                   /* of parts, `number` at least */
    uint8_t source[SHARD_SOURCE_LEN]; /* the same in all parts of a disk */
    uint32_t sparse_len;              /* bytes: as ConvertRequest.sparse_len of the job that made it */
    bool is_compressed;               /* clusters that got shorter are */
};

/* The image that a part was read from, besides. */
struct image_shard {
    struct shard shard;
    instar_FormatOption options[SHARD_OPTIONS_MAX]; /* that make another image like it */
    uint32_t option_count;
};

/* Which bytes of a disk of `disk_len` the part has: [*ret_start, *ret_end), empty where there are more parts than
 * units. */
static inline void shard_range(uint32_t number, uint32_t count, uint64_t disk_len, uint64_t *ret_start,
                               uint64_t *ret_end)
{
    uint64_t units = disk_len / SHARD_UNIT_LEN + (disk_len % SHARD_UNIT_LEN != 0);
    /* As many in each, and the first ones have one more: no product that could be too large. */
    uint64_t each = units / count;
    uint64_t more = units % count;
    uint64_t first = (number - 1) * each + min_u64(number - 1, more);
    uint64_t end = first + each + (number - 1 < more ? 1 : 0);
    *ret_start = min_u64(first * SHARD_UNIT_LEN, disk_len);
    *ret_end = min_u64(end * SHARD_UNIT_LEN, disk_len);
}

#endif
