/* SPDX-License-Identifier: Apache-2.0 */
/* QED, the QEMU enhanced disk: README.md. */
#ifndef INSTAR_GUEST_FORMATS_QED_QED_H
#define INSTAR_GUEST_FORMATS_QED_QED_H

#include "guest/formats/qed/qed_header.h"
#include "guest/image/format.h"
#include "guest/image/image.h"
#include "guest/image/tables/block_table.h"

extern const struct format qed_format;

/* Entries of an L2 table that are no offsets: nothing is there, and zeros whatever is behind the image. */
#define QED_ENTRY_NONE 0u
#define QED_ENTRY_ZERO 1u

/* An open image's state is its header. */
static inline const struct qed_header *qed_header_of(const struct image *image)
{
    return image->state;
}

/* The table at an offset that was checked. */
static inline struct block_table qed_table(const struct image *image, uint64_t off)
{
    return (struct block_table){
        .file = image->file,
        .off = off,
        .count = 1ull << qed_header_of(image)->entry_bits,
        .word = BLOCK_TABLE_LE64,
    };
}

/* qed_check.c: format.check. */
bool qed_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error);

/* The same file: format.repair. */
bool qed_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                struct error *error);

/* qed_create.c: format.create. */
bool qed_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* qed_change.c: format.open_target, format.resize. */
bool qed_open_target(struct image *image, struct target **ret_target, struct error *error);
bool qed_resize(struct image *image, const struct resize_plan *plan, struct error *error);

#endif
