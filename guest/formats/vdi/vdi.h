/* SPDX-License-Identifier: Apache-2.0 */
/* VirtualBox's disk images: README.md. */
#ifndef INSTAR_GUEST_FORMATS_VDI_VDI_H
#define INSTAR_GUEST_FORMATS_VDI_VDI_H

#include "guest/formats/vdi/vdi_header.h"
#include "guest/image/format.h"
#include "guest/image/image.h"
#include "guest/image/tables/block_table.h"

extern const struct format vdi_format;

/* What an open image keeps. */
struct vdi {
    struct vdi_header header;
    struct block_table map; /* an entry per block: its number in the file's data */
};

static inline const struct vdi *vdi_of(const struct image *image)
{
    return image->state;
}

/* vdi_check.c: format.check. */
bool vdi_check(struct image *image, uint32_t findings_max, instar_CheckMessage *ret_result, struct error *error);

/* vdi_create.c: format.create. */
bool vdi_create(const struct target_setup *setup, struct target **ret_target, struct error *error);

/* vdi_modify.c: format.open_target. */
bool vdi_open_target(struct image *image, struct target **ret_target, struct error *error);

/* vdi_repair.c: format.repair. */
bool vdi_repair(struct image *image, const struct repair_plan *plan, instar_CheckMessage *ret_result,
                struct error *error);

#endif
