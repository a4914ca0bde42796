/* SPDX-License-Identifier: Apache-2.0 */
/* The trailer ("koly" block) of a UDIF image: where the data, and the tables that tell of it, lie. */
#ifndef INSTAR_GUEST_FORMATS_DMG_DMG_TRAILER_H
#define INSTAR_GUEST_FORMATS_DMG_DMG_TRAILER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define DMG_SECTOR_LEN 512u
#define DMG_TRAILER_LEN 512u

/* A place in the file. */
struct dmg_range {
    uint64_t off;
    uint64_t len;
};

struct dmg_trailer {
    uint64_t data_off;          /* what offsets of chunks are counted from */
    struct dmg_range resources; /* the resource fork; len 0: there is none */
    struct dmg_range plist;     /* the property list, likewise */
    uint64_t sector_count;
};

/*
 * The trailer is found by its first four bytes, as QEMU does it: the length of the file may be any, so it lies in the
 * last sector or partly in the one before. Where to look in a file of file_len bytes, and how far; 0: it is too short.
 */
#define DMG_TRAILER_SEARCH_LEN 515u
uint32_t dmg_trailer_place(uint64_t file_len, uint64_t *ret_off);

/* Its index in these bytes; false if they have none. */
bool dmg_trailer_find(struct span bytes, uint32_t *ret_index);

/* Parses the DMG_TRAILER_LEN bytes at trailer_off of the file: both forks and the list end before it. */
MUST_CHECK bool dmg_trailer_parse(struct span bytes, uint64_t trailer_off, struct dmg_trailer *ret_trailer,
                                  struct error *error);

#endif
