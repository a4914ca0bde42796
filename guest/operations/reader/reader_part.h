/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a disk, as the reader gives it (reader.h). */
#ifndef INSTAR_GUEST_OPERATIONS_READER_READER_PART_H
#define INSTAR_GUEST_OPERATIONS_READER_READER_PART_H

#include <stdint.h>

struct file;
struct reader_slot;

enum reader_part_kind {
    READER_ZERO,   /* reads as zeros */
    READER_BYTES,  /* the bytes are in memory */
    READER_PLAIN,  /* plain data that is not read: it lies at file_off of a file */
    READER_OTHERS, /* the image has nothing of it, and the one behind it counts: only with own_unit_len */
};

struct reader_part {
    enum reader_part_kind kind;
    uint64_t voff;
    uint64_t len;
    uint8_t *data;            /* BYTES: if the disk ends within a sector, zeros follow to its end */
    struct reader_slot *slot; /* BYTES: what has to be released */
    struct file *file;        /* PLAIN */
    uint64_t file_off;        /* PLAIN: bytes, a multiple of 512 */
};

#endif
