/* SPDX-License-Identifier: Apache-2.0 */
/* A QED image that is changed in place. */
#ifndef INSTAR_GUEST_FORMATS_QED_QED_MODIFY_H
#define INSTAR_GUEST_FORMATS_QED_QED_MODIFY_H

#include "guest/formats/qed/qed.h"
#include "guest/image/write/block_modify.h"

struct qed_modify {
    struct block_modify blocks; /* first */
    struct qed_header *header;  /* the image's */
};

static inline struct qed_modify *qed_modify_of(struct block_modify *blocks)
{
    return (struct qed_modify *)blocks;
}

/* The image's tables are not looked at. */
MUST_CHECK bool qed_modify_make(struct image *image, struct qed_modify **ret_modify, struct error *error);

/* Writes the header as it is now, in its first sector, with what else is there; on stable storage before and after. */
MUST_CHECK bool qed_modify_write_header(struct qed_modify *modify, struct error *error);

#endif
