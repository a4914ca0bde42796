/* SPDX-License-Identifier: Apache-2.0 */
/* Parallels' expanding disks: README.md. */
#ifndef INSTAR_GUEST_FORMATS_PARALLELS_PARALLELS_H
#define INSTAR_GUEST_FORMATS_PARALLELS_PARALLELS_H

#include "guest/formats/parallels/parallels_header.h"
#include "guest/image/format.h"
#include "guest/image/image.h"
#include "guest/image/tables/block_table.h"

extern const struct format parallels_format;

/* What an open image keeps. */
struct parallels {
    struct parallels_header header;
    struct block_table bat; /* an entry per cluster: where it is, in units of header.unit_len */
};

static inline const struct parallels *parallels_of(const struct image *image)
{
    return image->state;
}

/* parallels_extension.c: looks at the format extension, if there is one. It changes nothing about the disk's content.
 */
MUST_CHECK bool parallels_extension_check(struct image *image, struct error *error);

/* parallels_check.c: format.check. */
bool parallels_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error);

/* parallels_create.c: format.create. */
bool parallels_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* parallels_modify.c: format.open_target. */
bool parallels_open_target(struct image *image, struct target **ret_target, struct error *error);

/* parallels_repair.c: format.repair. */
bool parallels_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                      struct error *error);

#endif
