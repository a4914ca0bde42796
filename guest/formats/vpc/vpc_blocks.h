/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All blocks of a dynamic or differencing disk, looked at: does each have a place of its own within the file, apart
 * from the metadata? Who looks (check, repair, or whoever is about to change the image) says what becomes of those that
 * have not.
 */
#ifndef INSTAR_GUEST_FORMATS_VPC_VPC_BLOCKS_H
#define INSTAR_GUEST_FORMATS_VPC_VPC_BLOCKS_H

#include "guest/formats/vpc/vpc_image.h"

/* What is wrong with a block. Nothing more is looked for in those of the first two kinds. */
enum vpc_fault {
    VPC_BEHIND_END,  /* none of its sectors is in the file */
    VPC_IN_METADATA, /* it overlaps headers, the table, or the names of a parent */
    VPC_CUT,         /* the file ends within it */
    VPC_OVERLAPS,    /* it overlaps another block, which comes before it in the table */
};

struct vpc_blocks {
    struct image *image;
    /* Of block `index`, which begins with its bitmap at `off`. Entries may be changed meanwhile. */
    bool (*found)(struct vpc_blocks *blocks, uint64_t index, uint64_t off, enum vpc_fault fault, struct error *error);
    void *owner;
    /* Set before blocks are looked at. */
    uint64_t stored_len;    /* bytes of a block in the file, with its bitmap */
    uint64_t file_end_off;  /* bytes: where blocks end at the latest, before the footer if that is where it should be */
    bool has_footer_at_end; /* the file, or what is used of a device, ends with what it begins with */
    bool has_tables_apart;  /* no part of the metadata overlaps another one */
    /* Afterwards. */
    uint64_t count;
    uint64_t fragmented_count;
    uint64_t end_off; /* behind all that is used of the file, but for the footer at its end */
    uint64_t next_off;
    uint32_t *slots;
};

/* Of a block, in the words of a sentence that begins with it. */
const char *vpc_fault_text(enum vpc_fault fault);

/* The image is not fixed. Waits. */
MUST_CHECK bool vpc_look_at_blocks(struct vpc_blocks *blocks, struct error *error);

#endif
